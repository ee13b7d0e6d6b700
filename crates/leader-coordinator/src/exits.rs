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
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, fstat, fstatfs, openat, unlinkat};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::future::pending;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;
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
    /// One thread for each process that is waited for. A wait in the kernel cannot be cancelled, so it is kept for the next
    /// caller; it ends with the process that it waits for.
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
            fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::open(directory, flags, Mode::empty())?)
        };
        let opened = open().map_err(|error| failed(&error))?;
        check_directory(&opened).map_err(|error| failed(&error))?;
        let boot = fs::read_to_string(BOOT_ID).map_err(|error| format!("{BOOT_ID}: {error}"))?;
        let files =
            Self { directory: Arc::new(opened), boot: boot.trim().to_owned(), waits: Mutex::default() };
        files.lock_own(nonce).map_err(|error| failed(&error))?;
        files.remove_old();
        Ok(files)
    }

    fn lock_own(&self, nonce: Nonce) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.directory, nonce.to_string(), flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        // The content comes after the lock: a file without it is no evidence.
        let content = self.content(&fd)?;
        // A child may act under the nonce of its parent: it inherits the lock.
        fcntl_setfd(&fd, FdFlags::empty())?;
        let mut file = File::from(fd);
        let written = file.write_all(content.as_bytes());
        // The kernel closes it, and nothing else, also after a failed write: the file may have its whole content.
        std::mem::forget(file);
        written
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
        // The others have ended.
        waits.retain(|_, wait| wait.has_changed().is_ok());
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
    fn remove_old(&self) {
        let Ok(entries) = Dir::read_from(&self.directory) else { return };
        let mut ended: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().to_owned();
                self.ended_at(&name).map(|at| (at, name))
            })
            .collect();
        ended.sort();
        let old = ended.len().saturating_sub(ENDED_KEPT);
        for (_, name) in &ended[..old] {
            // Another process may have removed it.
            let _ = unlinkat(&self.directory, name, AtFlags::empty());
        }
    }

    /// The modification time of the file of a process that has ended, in this boot or before. A process locks its file
    /// before it writes it, so a file without its content is not touched: its process may be about to lock it.
    fn ended_at(&self, name: &CStr) -> Option<SystemTime> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.directory, name, flags, Mode::empty()).ok()?;
        let file = File::from(fd);
        let mut content = String::new();
        (&file).take(CONTENT_LEN_MAX).read_to_string(&mut content).ok()?;
        if !content.starts_with(FORMAT) || !content.ends_with('\n') {
            return None;
        }
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
        file.metadata().ok()?.modified().ok()
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
    Err(format!(
        "the file system (type {kind:#x}) may be shared with other machines; it is none of {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// Environment variable with the directory of [`holder`].
    const DIRECTORY: &str = "LOCK_FILES_TEST_DIRECTORY";
    const HOLDER: u128 = 2;

    fn own(directory: &Path) -> LockFiles {
        LockFiles::start(directory, Nonce::new(1)).expect("a local directory")
    }

    /// Not a test: another process, started by the tests, that holds its lock until its standard input ends. It has a child
    /// that runs for longer, and prints the child's id.
    #[test]
    fn holder() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        drop(LockFiles::start(Path::new(&directory), Nonce::new(HOLDER)).expect("a local directory"));
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        println!("child {}", child.expect("sleep starts").id());
        let _ = io::stdin().read_line(&mut String::new());
    }

    /// The process of [`holder`], and its child.
    fn start_holder(directory: &Path) -> (Child, Pid) {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", "exits::tests::holder", "--nocapture"]).env(DIRECTORY, directory);
        let mut holder =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this test starts");
        let lines = BufReader::new(holder.stdout.take().expect("it is piped")).lines();
        let child = lines
            .map(|line| line.expect("text"))
            .find_map(|line| line.split_once("child ").and_then(|(_, pid)| pid.parse().ok()))
            .and_then(Pid::from_raw);
        (holder, child.expect("the holder prints its child"))
    }

    #[tokio::test]
    async fn there_is_evidence_when_the_process_and_its_children_have_ended_and_not_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = own(directory.path());
        let (mut holder, child) = start_holder(directory.path());
        let ended = || files.ended(Nonce::new(HOLDER));
        assert!(ended().now_or_never().is_none(), "it runs");
        let pid = Pid::from_child(&holder);
        kill_process(pid, Signal::STOP).expect("its parent may stop it");
        assert!(ended().now_or_never().is_none(), "it is stopped");
        holder.kill().expect("its parent may kill it");
        holder.wait().expect("it is this process's child");
        assert!(ended().now_or_never().is_none(), "its child runs");
        kill_process(child, Signal::KILL).expect("the same user may kill it");
        ended().await;
        // A follower that starts now finds the file.
        LockFiles::start(directory.path(), Nonce::new(3))
            .expect("a local directory")
            .ended(Nonce::new(HOLDER))
            .await;
    }

    #[tokio::test]
    async fn neither_a_copy_nor_a_file_of_another_boot_nor_a_missing_one_is_evidence() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = own(directory.path());
        let path = |nonce| directory.path().join(Nonce::new(nonce).to_string());
        fs::copy(path(1), path(5)).expect("copied");
        let stat = |path: &Path| rustix::fs::stat(path).expect("it exists");
        let content = |boot: &str, path: &Path| {
            format!("{FORMAT} {boot} {} {}\n", stat(path).st_dev, stat(path).st_ino)
        };
        for nonce in [6, 7, 8] {
            fs::write(path(nonce), "").expect("written");
        }
        fs::write(path(6), content("another-boot", &path(6))).expect("written");
        fs::write(path(7), content(&files.boot, &path(7))).expect("written");
        for nonce in [4, 5, 6, 8] {
            assert!(files.ended(Nonce::new(nonce)).now_or_never().is_none(), "{nonce}");
            assert!(files.wait_for(Nonce::new(nonce)).is_none(), "{nonce}");
        }
        // The same file as its process would have left it.
        files.ended(Nonce::new(7)).await;
    }

    #[test]
    fn the_files_of_running_processes_and_the_most_recent_others_are_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = own(directory.path());
        for old in 0..ENDED_KEPT + 9 {
            let path = directory.path().join(Nonce::new(100 + old as u128).to_string());
            fs::write(path, format!("{FORMAT} an-earlier-boot 1 1\n")).expect("written");
        }
        // A process that has not locked its file yet.
        fs::write(directory.path().join(Nonce::new(99).to_string()), "").expect("written");
        files.remove_old();
        let left = fs::read_dir(directory.path()).expect("a directory").count();
        assert_eq!(left, ENDED_KEPT + 2);
        assert!(directory.path().join(Nonce::new(1).to_string()).exists());
    }

    #[test]
    fn a_directory_in_which_others_can_write_is_refused_and_so_is_proc() {
        let directory = tempfile::tempdir().expect("a directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(directory.path(), mode).expect("its owner");
        let refused = LockFiles::start(directory.path(), Nonce::new(1)).expect_err("others can write");
        assert!(refused.contains("another user"), "{refused}");
        let proc = format!("/proc/{}", std::process::id());
        let refused = LockFiles::start(Path::new(&proc), Nonce::new(1)).expect_err("not a disk");
        assert!(refused.contains("other machines"), "{refused}");
    }
}
