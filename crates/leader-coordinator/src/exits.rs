//! [`LockFiles`]: evidence that a process of this host has ended, from locks on files that the kernel releases at the end
//! of a process.
//!
//! Each process keeps an exclusive lock (`flock`) on a file named by its nonce, from before its first claim until its end.
//! Its children inherit the lock, so it is free only when all of them have ended as well. A follower waits for the lock in
//! the kernel. The invariant: in any doubt there is no evidence. The file contains the boot id of the kernel and its own
//! device and inode, so that neither a file of an earlier boot or of another machine nor a copy is evidence, and only file
//! systems are used whose locks this kernel keeps alone.
//!
//! A virtual machine that was cloned with its memory, and a process that is restored from a checkpoint, would have the same
//! nonce as a process that may run: the protocol excludes both.

use async_trait::async_trait;
use coordinator::Exits;
use domain::id::Nonce;
use rustix::fs::{FlockOperation, Mode, OFlags, fstat, fstatfs, openat};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::future::pending;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::watch;

/// The identity of this boot of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// First word of a file.
const FORMAT: &str = "coordinator-process-1";
/// Longest content that is read.
const CONTENT_LEN_MAX: u64 = 256;
/// File systems whose locks are known only to this kernel. A network file system (NFS, CIFS, 9p, virtiofs and other FUSE)
/// or a cluster file system may grant a lock that a process of another kernel holds.
const LOCAL: [(&str, i64); 10] = [
    ("ext4", 0xEF53),
    ("xfs", 0x5846_5342),
    ("btrfs", 0x9123_683E),
    ("f2fs", 0xF2F5_2010),
    ("zfs", 0x2FC1_2FC1),
    ("bcachefs", 0xCA45_1A4E),
    ("jfs", 0x3153_464A),
    ("tmpfs", 0x0102_1994),
    ("ramfs", 0x8584_58F6),
    ("overlayfs", 0x794C_7630),
];
/// Files of ended processes that are kept. A follower that starts later, for example the restarted leader itself, finds the
/// evidence in them. Each has less than 100 bytes.
const ENDED_KEPT: usize = 64;
/// Permissions of the directory: a user who can write to it can give false evidence.
const DIRECTORY_MODE: u32 = 0o700;
/// Stack of a waiting thread; it calls the kernel once.
const STACK_LEN: usize = 64 << 10;

/// The lock files of a directory, in which this process has its own.
#[derive(Debug)]
pub struct LockFiles {
    directory: Arc<OwnedFd>,
    boot: String,
    /// One wait for each process: a wait in the kernel cannot be cancelled, so it is kept for the next caller. It ends with
    /// its process.
    waits: Mutex<HashMap<Nonce, watch::Receiver<bool>>>,
}

impl LockFiles {
    /// Creates and locks the file of this process in `directory`, which is created if it does not exist. The lock lasts
    /// until this process and all of its children have ended, also if the value is dropped.
    ///
    /// # Errors
    /// The reason why there can be no evidence in this directory.
    pub fn start(directory: &Path, nonce: Nonce) -> Result<Self, String> {
        let failed = |error: &dyn Display| format!("{}: {error}", directory.display());
        let open = || -> io::Result<OwnedFd> {
            match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::open(directory, flags, Mode::empty())?)
        };
        let opened = open().map_err(|error| failed(&error))?;
        check_directory(&opened).map_err(|error| failed(&error))?;
        let boot = fs::read_to_string(BOOT_ID).map_err(|error| format!("{BOOT_ID}: {error}"))?;
        let files = Self {
            directory: Arc::new(opened),
            boot: boot.trim().to_owned(),
            waits: Mutex::default(),
        };
        files.lock_own(nonce).map_err(|error| failed(&error))?;
        files.remove_old(directory);
        Ok(files)
    }

    fn lock_own(&self, nonce: Nonce) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.directory, nonce.to_string(), flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        // The content comes after the lock: a file without it is no evidence.
        let content = self.content(&fd)?;
        let mut file = File::from(fd);
        file.write_all(content.as_bytes())?;
        // A child may act under the nonce of its parent: it inherits the lock.
        fcntl_setfd(&file, FdFlags::empty())?;
        // The kernel closes it, and nothing else.
        std::mem::forget(file);
        Ok(())
    }

    /// The content of the file that is open as `fd`: a copy has another inode.
    fn content(&self, fd: &OwnedFd) -> io::Result<String> {
        let stat = fstat(fd)?;
        Ok(format!("{FORMAT} {} {} {}\n", self.boot, stat.st_dev, stat.st_ino))
    }

    /// The file of the process with this nonce. `None`: there can be no evidence.
    fn file_of(&self, name: &str) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.directory, name, flags, Mode::empty()).ok()?;
        is_local(&fd).ok()?;
        let mut content = String::new();
        let mut file = File::from(fd.try_clone().ok()?).take(CONTENT_LEN_MAX);
        file.read_to_string(&mut content).ok()?;
        (content == self.content(&fd).ok()?).then_some(fd)
    }

    /// Starts the wait for the end of the process with this nonce, unless it has begun before.
    fn wait_for(&self, nonce: Nonce) -> Option<watch::Receiver<bool>> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.retain(|_, ended| ended.has_changed().is_ok() || *ended.borrow());
        if let Some(wait) = waits.get(&nonce) {
            return Some(wait.clone());
        }
        let fd = self.file_of(&nonce.to_string())?;
        let (end, ended) = watch::channel(false);
        let wait = move || {
            // Shared, so that every follower gets it at the same moment.
            while let Err(error) = rustix::fs::flock(&fd, FlockOperation::LockShared) {
                if error != Errno::INTR {
                    return;
                }
            }
            end.send_replace(true);
        };
        let name = format!("end-{nonce}");
        thread::Builder::new().name(name).stack_size(STACK_LEN).spawn(wait).ok()?;
        waits.insert(nonce, ended.clone());
        Some(ended)
    }

    /// Removes the files of ended processes except the most recent ones.
    fn remove_old(&self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut ended: Vec<_> = entries
            .flatten()
            .filter(|entry| self.has_ended(entry.file_name().to_str()))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        ended.sort();
        let old = ended.len().saturating_sub(ENDED_KEPT);
        for (_, path) in &ended[..old] {
            // Another process may have removed it.
            let _ = fs::remove_file(path);
        }
    }

    /// True for the file of a process that has ended, in this boot or before. Its content is read after the lock was free:
    /// a process locks its file before it writes it.
    fn has_ended(&self, name: Option<&str>) -> bool {
        let Some(name) = name else { return false };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(fd) = openat(&self.directory, name, flags, Mode::empty()) else { return false };
        if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockShared).is_err() {
            return false;
        }
        let mut content = String::new();
        let read = File::from(fd).take(CONTENT_LEN_MAX).read_to_string(&mut content);
        read.is_ok() && content.starts_with(FORMAT) && content.ends_with('\n')
    }
}

#[async_trait]
impl Exits for LockFiles {
    async fn ended(&self, nonce: Nonce) {
        let Some(mut ended) = self.wait_for(nonce) else { return pending().await };
        if ended.wait_for(|ended| *ended).await.is_err() {
            // The kernel refused the lock.
            pending::<()>().await;
        }
    }
}

/// Refuses a directory in which another user can write, and a file system that may be shared with another kernel.
fn check_directory(directory: &OwnedFd) -> Result<(), String> {
    let stat = fstat(directory).map_err(|error| error.to_string())?;
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err("another user can write to the directory".to_owned());
    }
    is_local(directory)
}

fn is_local(fd: impl AsFd) -> Result<(), String> {
    let kind = fstatfs(fd).map_err(|error| error.to_string())?.f_type as i64;
    if LOCAL.iter().any(|(_, local)| *local == kind) {
        return Ok(());
    }
    let names: Vec<_> = LOCAL.iter().map(|(name, _)| *name).collect();
    Err(format!("the file system (type {kind:#x}) may be shared with other machines; it is none of {}", names.join(", ")))
}
