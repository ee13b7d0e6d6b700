//! Ports for servers that a test starts, stops and starts again.
//!
//! A test binds a port some seconds after it chose it, and leaves it free while a server is stopped. So a process reserves
//! the ports that it chooses from, and no other test process chooses one of them. A reservation is a socket in the kernel's
//! abstract namespace: it ends with the process, however the process ends, and leaves no file.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Ports that the kernel does not assign automatically: neither a client nor another listener gets one by chance.
const PORTS: Range<u16> = 12_000..32_000;
/// Ports of a block, which is reserved at once: more than most test processes use.
const BLOCK: u16 = 50;
/// Most blocks of a process; then it uses its ports again. The rest is for other processes.
const BLOCKS_MAX: usize = 80;
/// All blocks.
const BLOCKS: u16 = (PORTS.end - PORTS.start) / BLOCK;

static OWN: Mutex<Own> = Mutex::new(Own { blocks: Vec::new(), next: 0 });

/// A TCP port of the loopback interface that no process uses at the moment, and that no other test process uses until this
/// one ends. This process gets each port only once, unless it needs more than `BLOCKS_MAX` blocks.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    // A panic below leaves nothing half done.
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let tries = 2 * usize::from(PORTS.end - PORTS.start);
    // A program that is no test of ours may use a port of the block.
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..tries).find_map(|_| own.port().filter(is_free)).expect("a free port of loopback")
}

/// The ports of this process.
struct Own {
    blocks: Vec<Block>,
    /// Number of ports that were taken since the first one was last taken.
    next: usize,
}

impl Own {
    /// The next port; `None` if other processes have reserved every block.
    fn port(&mut self) -> Option<u16> {
        let block_len = usize::from(BLOCK);
        if self.next == self.blocks.len() * block_len {
            match (self.blocks.len() < BLOCKS_MAX).then(Block::any).flatten() {
                Some(block) => self.blocks.push(block),
                None => self.next = 0,
            }
        }
        let block = self.blocks.get(self.next / block_len)?;
        let within = u16::try_from(self.next % block_len).expect("less than a block");
        self.next += 1;
        Some(block.first + within)
    }
}

/// Consecutive ports that are reserved for this process until it is dropped.
struct Block {
    first: u16,
    _reserved: UnixListener,
}

impl Block {
    /// A block that no process has reserved. Processes begin to search at different blocks.
    fn any() -> Option<Self> {
        let from = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("less than a block's number");
        (0..BLOCKS).find_map(|at| Self::reserve((from + at) % BLOCKS))
    }

    /// `None` if it is reserved.
    fn reserve(number: u16) -> Option<Self> {
        let first = PORTS.start + number * BLOCK;
        let name = format!("coordinator-test-ports-{first}");
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        UnixListener::bind_addr(&address).ok().map(|reserved| Self { first, _reserved: reserved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_reserved_block_is_not_reserved_again() {
        let block = Block::any().expect("a free block");
        assert!(Block::reserve((block.first - PORTS.start) / BLOCK).is_none());
        assert_ne!(Block::any().expect("another free block").first, block.first);
    }

    #[test]
    fn every_port_is_another_one_and_in_a_block_of_this_process() {
        let ports: Vec<u16> = (0..3 * BLOCK).map(|_| free_port()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        let own = OWN.lock().unwrap();
        let is_own =
            |port: &u16| own.blocks.iter().any(|block| (block.first..block.first + BLOCK).contains(port));
        assert!(ports.iter().all(is_own));
    }
}
