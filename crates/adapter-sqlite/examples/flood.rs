use adapter_sqlite::*;
use domain::{id::*, lease::*, ledger::*, ports::*};
use std::sync::Arc;
use std::time::{Duration, Instant};
fn cfg(path: &str, id: &str, ttl: u64) -> SqliteConfig {
    SqliteConfig { path: path.into(), group: GroupId::parse("g").unwrap(), id: InstanceId::parse(id).unwrap(), nonce: Nonce::new(7), host: "h".into(), ttl: Duration::from_secs(ttl),
        positions: RelationName::parse("portfolio_positions").unwrap(), portfolio: RelationName::parse("portfolio_state").unwrap() }
}
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS")||l.starts_with("Threads")||l.starts_with("RssAnon")).collect::<Vec<_>>().join(" ") }
#[tokio::main(flavor="multi_thread", worker_threads=2)]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let path = &a[2];
    match a[1].as_str() {
        "flood" => {
            let s = Arc::new(SqliteStore::new(cfg(path, &a[3], 10)));
            let end = Instant::now() + Duration::from_secs(10);
            let mut tasks = vec![];
            for t in 0..4 { let s = s.clone(); let me = a[3].clone(); tasks.push(tokio::spawn(async move { let mut n = 0u32; let mut bad=0; while Instant::now() < end { let sig = NewSignal { id: SignalId::parse(&format!("{me}-{t}-{n}")).unwrap(), body: "{}".into() }; match s.submit(&sig).await { Ok(_) => n += 1, Err(_) => bad+=1 } } (n,bad) })); }
            let mut n = 0; let mut bad=0; for t in tasks { let r= t.await.unwrap(); n += r.0; bad+=r.1; }
            println!("flood {n} in 10 s, {bad} refused, {}", rss());
        }
        "lead" => {
            let s = SqliteStore::new(cfg(path, "leader", 1));
            println!("start {}", rss());
            s.migrate(Migrate::Apply).await.unwrap();
            let o = s.observe().await.unwrap();
            let Claim::Granted(t) = s.claim(&ClaimRequest{observed:o.version, claim: Nonce::new(u128::from(std::process::id())).claim(1), holder: InstanceId::parse("leader").unwrap(), ttl: Duration::from_secs(1)}).await.unwrap() else {panic!()};
            s.counts().await.unwrap(); s.changed().await;
            println!("ready {}", rss());
            let mut lat = vec![]; let mut err = 0; let end = Instant::now() + Duration::from_secs(8); let mut q = 0;
            while Instant::now() < end { q += 1; let b = Instant::now(); match s.renew(&t, Seq(q)).await { Ok(Renewal::Renewed{..}) => lat.push(b.elapsed()), other => { err += 1; if err < 4 { println!("{other:?}"); } } } tokio::time::sleep(Duration::from_millis(30)).await; }
            lat.sort();
            println!("renewals ok {} err {err} p50 {:?} p99 {:?} max {:?} {}", lat.len(), lat[lat.len()/2], lat[lat.len()*99/100], lat.last().unwrap(), rss());
        }
        "idle" => {
            let s = SqliteStore::new(cfg(path, "leader", 1));
            s.migrate(Migrate::Apply).await.unwrap();
            s.observe().await.unwrap(); s.counts().await.unwrap(); s.changed().await;
            let _ = tokio::time::timeout(Duration::from_secs(10), async { loop { tokio::join!(s.changed(), s.submitted()); } }).await;
            let stat = std::fs::read_to_string("/proc/self/stat").unwrap(); let f: Vec<&str> = stat.split(' ').collect();
            println!("idle 10 s: utime {} stime {} (ticks of 10 ms) {}", f[13], f[14], rss());
        }
        _ => {}
    }
}
