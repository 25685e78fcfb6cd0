//! Where a client is, for limits that are each address's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::request::Parts;

use crate::identity::access::{Access, Auth, Peer};
use crate::refusal::Refusal;

/// Bits of an IPv6 address that say whose it is: a customer is given a /64 at least, and all of it is his.
const NETWORK_BITS: u32 = 64;

/// The address whose account a call is on, at a gateway that everybody may use; `None` where its key says who it is.
pub(crate) fn of(access: Access<'_>, head: &Parts) -> Result<Option<IpAddr>, Refusal> {
    match access.auth {
        Auth::Keys => Ok(None),
        Auth::Open { .. } => {
            let peer = head.extensions.get::<Peer>().map(|Peer(address)| *address);
            Ok(forwarded(head, access.trusted_proxies)?.or(peer).map(network))
        }
    }
}

/// Who shares an account with `address`: of IPv6 its /64, of IPv4 nobody, however it is written.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The address that the last proxy that is trusted saw; `None` where nothing was forwarded by as many. What that proxy
/// wrote and is none is refused: on the proxy's own account it would be everybody's.
fn forwarded(head: &Parts, trusted_proxies: usize) -> Result<Option<IpAddr>, Refusal> {
    let Some(behind) = trusted_proxies.checked_sub(1) else { return Ok(None) };
    let lines = head.headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).collect();
    let Some(at) = hops.len().checked_sub(behind + 1) else { return Ok(None) };
    let hop = str::from_utf8(hops[at]).ok().and_then(|hop| parse(hop.trim()));
    hop.map(Some).ok_or(Refusal::Ambiguous { problem: "an x-forwarded-for that names no address" })
}

/// An address as proxies write it: alone, in brackets, with a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    hop.parse().ok().or_else(bare).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn head(lines: &[&str]) -> Parts {
        let mut request = http::Request::new(());
        for line in lines {
            request.headers_mut().append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        request.into_parts().0
    }

    #[test]
    fn a_client_cannot_say_where_it_comes_from() {
        for (lines, trusted, expected) in [
            (&["1.1.1.1"][..], 0, Some(None)),
            (&["1.1.1.1"], 1, Some(Some("1.1.1.1"))),
            (&["6.6.6.6, 1.1.1.1"], 1, Some(Some("1.1.1.1"))),
            (&["6.6.6.6", "1.1.1.1, 10.0.0.8"], 2, Some(Some("1.1.1.1"))),
            (&["1.1.1.1:4711"], 1, Some(Some("1.1.1.1"))),
            (&["[2001:db8::1]:4711"], 1, Some(Some("2001:db8::1"))),
            (&["[2001:db8::1]"], 1, Some(Some("2001:db8::1"))),
            (&["2001:db8::1"], 1, Some(Some("2001:db8::1"))),
            (&["rubbish, 1.1.1.1"], 1, Some(Some("1.1.1.1"))),
            (&["1.1.1.1"], 2, Some(None)),
            (&[], 1, Some(None)),
            (&["rubbish"], 1, None),
            (&["1.1.1.1, "], 1, None),
            (&["1.1.1.1, unknown"], 1, None),
            (&["[1.1.1.1]"], 1, None),
        ] {
            let found = forwarded(&head(lines), trusted).ok();
            let found = found.map(|found| found.map(|address| address.to_string()));
            assert_eq!(found.as_ref().map(Option::as_deref), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_customer_of_ipv6_is_one_whatever_address_of_his_he_takes() {
        for (address, expected) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(network(address.parse().unwrap()).to_string(), expected, "{address}");
        }
    }
}
