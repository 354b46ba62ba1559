//! Free TCP ports on the loopback address.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Picks `N` different ports that nobody listens on now.
///
/// All are held until the last is found, so that they differ. Somebody else may still take one before the caller
/// does: the caller must be ready to try again.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Whether a program's log says that its port was taken; Go's programs all say it in the same words.
pub(crate) fn lost_its_port(log: &str) -> bool {
    log.contains("address already in use")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_different_and_free() {
        let ports = free_ports::<16>().unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 16);
        for port in ports {
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "port {port}");
        }
    }

    #[test]
    fn a_taken_port_is_recognised_in_a_log() {
        assert!(lost_its_port("E0101 failed to listen: listen tcp 127.0.0.1:6443: bind: address already in use"));
        assert!(!lost_its_port("etcdserver: request timed out"));
    }
}
