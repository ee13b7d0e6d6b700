//! The guardian: a process between the parent (the instance) and the command. It keeps the time at which the
//! command must be dead, and kills it with a timer that needs nothing from the parent.
//!
//! It has one thread, because the kernel sends the death signal of a child when the *thread* that created the child
//! ends. It writes nothing to standard output or standard error, because a reader that does not read must not delay
//! a SIGKILL.

use super::family;
use super::message::{Inbox, LEN, Message};
use super::program::exit_code;
use super::schedule::{Due, Schedule};
use super::{COMMAND, EXECUTABLE};
use coordinator::clock::{self, Alarm};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// The highest priority of the usual scheduler.
const PRIORITY: i32 = -20;
/// Longest wait for the parent to take the last message; its socket has room for it, even if it is stopped.
const REPORT_TIME_MAX: Duration = Duration::from_millis(100);
/// Signals that must not end the guardian before the command: an operator may send them to every process of this
/// program.
const SURVIVED: [Signal; 13] = [
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::XCPU,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
];

/// The guardian process, with the command as its arguments.
pub fn main(command: &[OsString]) -> ExitCode {
    // The parent sees the end of the stream; it logs and hands over.
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(guard(command)).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn guard(command: &[OsString]) -> io::Result<()> {
    family::adopt_orphans()?;
    for which in SURVIVED {
        // The handler stays when the stream is dropped.
        drop(signal(SignalKind::from_raw(which.as_raw()))?);
    }
    let mut ends = signal(SignalKind::child())?;
    let mut alarm = Alarm::new()?;
    let (control, first, input) = connect()?;
    let Message::Extend(permission) = first else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut control = UnixStream::from_std(control)?;
    let (mut inbox, mut parent_lives) = (Inbox::default(), true);
    let mut schedule = Schedule::new(permission);
    if clock::now() >= schedule.wakes_at() {
        return report(&mut control, Message::Ended { code: 0, by_itself: false }).await;
    }
    let leader = start(command, input)?;
    let (mut code, mut by_itself) = (None, false);
    loop {
        let nothing_is_left = family::reap(|pid, status| {
            if pid == leader {
                (code, by_itself) = (Some(exit_code(status)), !schedule.is_ending());
            }
        });
        if nothing_is_left {
            break;
        }
        if code.is_some() {
            // What the command has left behind ends as well.
            schedule.stop(clock::now(), permission.kill_at.since(permission.term_at));
        }
        if let Some(due) = schedule.due(clock::now()) {
            send(due, leader, code.is_none());
        }
        let mut bytes = [0; 16 * LEN];
        tokio::select! {
            biased;
            () = sleep(family::PAUSE), if schedule.is_killed() => {}
            rung = alarm.at(schedule.wakes_at()), if !schedule.is_killed() => rung?,
            read = control.read(&mut bytes), if parent_lives => match read {
                Ok(read) if read > 0 => inbox.push(&bytes[..read]),
                // The parent has ended, however that happened.
                Ok(_) | Err(_) => {
                    parent_lives = false;
                    schedule.stop(clock::now(), permission.kill_at.since(permission.term_at));
                }
            },
            _ = ends.recv() => {}
        }
        while let Some(message) = inbox.next() {
            match message {
                Message::Extend(permission) => schedule.extend(permission),
                Message::Stop(grace) => schedule.stop(clock::now(), grace),
                Message::Ended { .. } => {}
            }
        }
    }
    report(&mut control, Message::Ended { code: code.unwrap_or(1), by_itself }).await
}

/// Starts the command as the leader of a process group.
fn start(command: &[OsString], input: OwnedFd) -> io::Result<Pid> {
    let me = std::process::id().to_string();
    let child = Command::new(EXECUTABLE)
        .arg0("coordinator")
        .args([COMMAND, &me])
        .args(command)
        .process_group(0)
        .stdin(Stdio::from(input))
        .spawn()?;
    // On an overloaded machine the guardian goes first, if this user may do that. The command has its own priority.
    let _ = setpriority_process(None, PRIORITY);
    Ok(Pid::from_child(&child))
}

/// Sends the signal that is due. The id of the group belongs to the command only until its leader was reaped.
fn send(due: Due, leader: Pid, is_unreaped: bool) {
    match due {
        Due::Term if is_unreaped => {
            // Both fail only if no process is left. A stopped one continues, so that it can end.
            let _ = kill_process_group(leader, Signal::TERM);
            let _ = kill_process_group(leader, Signal::CONT);
        }
        Due::Term => drop(family::signal_all(Signal::TERM)),
        Due::Kill => {
            if is_unreaped {
                // Most commands are dead after this one call.
                let _ = kill_process_group(leader, Signal::KILL);
            }
            family::signal_all(Signal::KILL);
        }
    }
}

/// The socket on standard input, the first message, and the standard input of the command, which the parent passes
/// over the socket because only the three standard streams are inherited.
fn connect() -> io::Result<(StdStream, Message, OwnedFd)> {
    let control = StdStream::from(fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let mut record = [0; LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let read =
        recvmsg(&control, &mut [IoSliceMut::new(&mut record)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let input = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    control.set_nonblocking(true)?;
    match (Message::decode(&record), input) {
        (Some(message), Some(input)) if read.bytes == LEN => Ok((control, message, input)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn report(control: &mut UnixStream, message: Message) -> io::Result<()> {
    // Without an answer the parent sees the end of the stream.
    let _ = timeout(REPORT_TIME_MAX, control.write_all(&message.encode())).await;
    Ok(())
}
