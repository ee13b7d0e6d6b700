//! [`Ward`]: the parent's side of one command. It starts the guardian and exchanges messages with it.

use super::message::{Inbox, LEN, Message};
use super::schedule::Permission;
use super::{EXECUTABLE, GUARDIAN};
use domain::id::InstanceId;
use domain::lease::Token;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// A command under a guardian. If it is dropped, the guardian ends the command.
#[derive(Debug)]
pub struct Ward {
    control: UnixStream,
    inbox: Inbox,
}

impl Ward {
    /// Starts the guardian, which starts the command if the permission has not ended by then.
    ///
    /// # Errors
    /// If the kernel refuses a process or a socket.
    pub fn start(
        command: &[OsString],
        id: &InstanceId,
        token: &Token,
        permission: Permission,
    ) -> io::Result<Self> {
        let (control, theirs) = StdStream::pair()?;
        pass_input(&control, Message::Extend(permission))?;
        // A separate process group: Ctrl-Z and Ctrl-C at a terminal reach the parent alone.
        Command::new(EXECUTABLE)
            .arg0("coordinator")
            .arg(GUARDIAN)
            .args(command)
            .process_group(0)
            .env("COORDINATOR_EPOCH", token.epoch.to_string())
            .env("COORDINATOR_FENCE", token.to_string())
            .env("COORDINATOR_INSTANCE_ID", id.to_string())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        control.set_nonblocking(true)?;
        Ok(Self { control: UnixStream::from_std(control)?, inbox: Inbox::default() })
    }

    /// Sends a message without waiting. A guardian that reads nothing is stopped or dead; the parent then kills it.
    pub fn send(&self, message: Message) {
        let _ = send(&self.control, &message.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// The next message; `None` if the guardian has ended. Cancellation safe.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.inbox.next() {
                return Some(message);
            }
            let mut bytes = [0; LEN];
            match self.control.read(&mut bytes).await {
                Ok(read) if read > 0 => self.inbox.push(&bytes[..read]),
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

/// Sends the first message with this process's standard input, which is the command's.
fn pass_input(control: &StdStream, message: Message) -> io::Result<()> {
    let input = io::stdin();
    let input = [input.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&input));
    sendmsg(control, &[IoSlice::new(&message.encode())], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
