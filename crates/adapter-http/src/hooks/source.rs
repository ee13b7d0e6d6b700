//! [`Sources`]: the networks from which a hook accepts requests, and the trusted proxies, which name the sender.

use super::preset::TRADINGVIEW;
use axum::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// Most addresses in an `X-Forwarded-For` that are read; no chain of proxies is longer.
const HOPS_MAX: usize = 32;

/// The allowed senders of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sources {
    /// Empty: any.
    pub(super) allowed: Vec<IpNet>,
    pub(super) proxies: Vec<IpNet>,
}

/// Parses networks; `tradingview` is the list of TradingView's addresses. The errors name the text.
pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Vec<String>> {
    let (mut nets, mut faults) = (Vec::new(), Vec::new());
    for text in texts {
        let text = text.trim();
        if text == "tradingview" {
            nets.extend(TRADINGVIEW.iter().map(|net| net.parse::<IpNet>().expect("our own list")));
            continue;
        }
        match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => nets.push(canonical(net.trunc())),
            Err(_) => faults.push(format!(
                "{:?}, not a network such as 10.0.0.0/8, an address, or \"tradingview\"",
                text.chars().take(64).collect::<String>()
            )),
        }
    }
    if faults.is_empty() { Ok(nets) } else { Err(faults) }
}

/// An IPv4 network that is written as IPv6 (`::ffff:10.0.0.0/104`) as IPv4, as the addresses of senders are.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let v4 = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(addr, len)| Ipv4Net::new(addr, len).ok()).map_or(net, IpNet::V4)
}

impl Sources {
    /// The sender's address: the peer of the connection, or, if that is a trusted proxy, the last address in
    /// `X-Forwarded-For` that is none. Addresses further left are the sender's own words.
    pub(super) fn sender(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Result<Option<IpAddr>, String> {
        let Some(peer) = peer.map(|peer| peer.to_canonical()) else { return Ok(None) };
        if !is_in(&self.proxies, peer) {
            return Ok(Some(peer));
        }
        let mut hops = Vec::new();
        for value in headers.get_all("x-forwarded-for") {
            let value = value.to_str().map_err(|_| "the header X-Forwarded-For is not text".to_owned())?;
            hops.extend(value.split(',').map(|hop| hop.trim().to_owned()));
        }
        let mut sender = peer;
        for hop in hops.iter().rev().take(HOPS_MAX) {
            sender = address(hop).ok_or_else(|| {
                "the header X-Forwarded-For of a trusted proxy has something else than addresses".to_owned()
            })?;
            if !is_in(&self.proxies, sender) {
                break;
            }
        }
        Ok(Some(sender))
    }

    /// Refuses a sender that is not allowed; the error says what to configure.
    pub(super) fn admit(&self, sender: Option<IpAddr>, headers: &HeaderMap) -> Result<(), String> {
        if self.allowed.is_empty() || sender.is_some_and(|sender| is_in(&self.allowed, sender)) {
            return Ok(());
        }
        let Some(sender) = sender else { return Err("the address of the sender is unknown".to_owned()) };
        let hint = if self.proxies.is_empty() && headers.contains_key("x-forwarded-for") {
            ": a proxy sent the request, and the hook has no trusted_proxies"
        } else {
            ""
        };
        Err(format!("{sender} is in none of the sources of the hook{hint}"))
    }
}

fn is_in(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// An address, perhaps with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare =
        text.strip_prefix('[').and_then(|text| text.split_once(']')).map_or(text, |(inside, _)| inside);
    let without_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(without_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(allowed: &[&str], proxies: &[&str]) -> Sources {
        let nets = |texts: &[&str]| {
            networks(&texts.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("networks")
        };
        Sources { allowed: nets(allowed), proxies: nets(proxies) }
    }

    fn admitted(sources: &Sources, peer: &str, forwarded: &[&str]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("a header"));
        }
        let sender = sources.sender(Some(peer.parse().expect("an address")), &headers)?;
        sources.admit(sender, &headers)?;
        Ok(sender.expect("known").to_string())
    }

    #[test]
    fn only_the_networks_of_a_hook_may_send() {
        let some = sources(&["tradingview", "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], &[]);
        for peer in [
            "52.89.214.238",
            "34.212.75.30",
            "54.218.53.128",
            "52.32.178.7",
            "10.255.0.1",
            "192.0.2.7",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(admitted(&some, peer, &[]).is_ok(), "{peer}");
        }
        for peer in ["52.89.214.239", "11.0.0.1", "192.0.2.8", "2001:db9::1", "127.0.0.1"] {
            assert!(admitted(&some, peer, &[]).is_err(), "{peer}");
        }
        assert!(admitted(&sources(&[], &[]), "198.51.100.1", &[]).is_ok(), "without sources any may send");
        let mapped = sources(&["::ffff:10.0.0.0/104", "::ffff:192.0.2.7"], &["::ffff:127.0.0.1"]);
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "192.0.2.7"] {
            assert!(admitted(&mapped, peer, &[]).is_ok(), "{peer}");
        }
        assert!(admitted(&mapped, "192.0.2.8", &[]).is_err());
        assert_eq!(admitted(&mapped, "127.0.0.1", &["10.0.0.9"]).as_deref(), Ok("10.0.0.9"));
    }

    #[test]
    fn only_a_trusted_proxy_names_the_sender() {
        let behind = sources(&["tradingview"], &["127.0.0.1", "10.0.0.0/8"]);
        let sender = |forwarded: &[&str]| admitted(&behind, "127.0.0.1", forwarded);
        assert_eq!(sender(&["52.89.214.238"]).as_deref(), Ok("52.89.214.238"));
        assert_eq!(sender(&["1.2.3.4, 52.89.214.238, 10.0.0.2"]).as_deref(), Ok("52.89.214.238"));
        assert_eq!(sender(&["1.2.3.4", "52.89.214.238:4711"]).as_deref(), Ok("52.89.214.238"));
        assert!(sender(&["52.89.214.238, 1.2.3.4"]).is_err(), "the sender wrote the first address itself");
        assert!(sender(&[]).is_err(), "the proxy itself is no source");
        assert!(sender(&["52.89.214.238, unknown"]).is_err_and(|why| why.contains("X-Forwarded-For")));
        let direct = sources(&["tradingview"], &[]);
        let forged = admitted(&direct, "198.51.100.1", &["52.89.214.238"]);
        assert!(forged.is_err_and(|why| why.contains("trusted_proxies")));
    }

    #[test]
    fn a_text_that_is_no_network_is_named() {
        let texts = ["10.0.0.0/33".to_owned(), "trading view".to_owned(), "10.0.0.0/8".to_owned()];
        let faults = networks(&texts).expect_err("two of them");
        assert!(faults.len() == 2 && faults[0].contains("10.0.0.0/33"), "{faults:?}");
    }
}
