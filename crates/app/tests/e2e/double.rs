//! [`Double`]: another member of the job for Prometheus, with metrics that no working instance exports.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;

/// The metrics of the member.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub leads: bool,
    /// Whether its heartbeat task runs.
    pub beats: bool,
    /// Whether it reports that it has written no heartbeat since its start.
    pub without_heartbeat: bool,
    /// Seconds by which its clock is ahead.
    pub ahead_s: i64,
}

impl Member {
    /// Without any fault.
    pub const STANDBY: Self = Self { leads: false, beats: true, without_heartbeat: false, ahead_s: 0 };

    /// It never syncs with the database.
    fn metrics(self) -> String {
        let last_s = coordinator::clock::calendar_ms() / 1_000 + self.ahead_s;
        let (leads, beats) = (u8::from(self.leads), u8::from(self.beats));
        let critical = 2 * u8::from(self.without_heartbeat);
        format!(
            "portfolio_manager_overall_alert_status {critical}\n\
             coordinator_alert_status{{alert=\"heartbeat_staleness\"}} {critical}\n\
             portfolio_manager_is_leader {leads}\nportfolio_manager_heartbeat_running {beats}\n\
             portfolio_manager_last_heartbeat_timestamp {last_s}\nportfolio_manager_db_sync_total 100\n"
        )
    }
}

/// See the [module](self).
pub struct Double {
    pub address: String,
    says: Arc<Mutex<Member>>,
}

impl Double {
    /// A [standby](Member::STANDBY); serves until the process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let says = Arc::new(Mutex::new(Member::STANDBY));
        let asked = Arc::clone(&says);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let member = *asked.lock().unwrap_or_else(PoisonError::into_inner);
                // A scraper that disconnected connects again.
                let _ = serve(stream, &member.metrics());
            }
        });
        Self { address, says }
    }

    /// Sets the metrics from now on.
    pub fn is(&self, member: Member) {
        *self.says.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }
}

fn serve(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let mut request: Vec<u8> = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            read => request.extend(&part[..read]),
        }
    }
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}")
}
