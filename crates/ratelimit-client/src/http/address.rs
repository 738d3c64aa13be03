//! The address of the client behind a request, with or without proxies between.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName, FORWARDED};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word about a client's address is believed.
///
/// The header is read from its right end, where the nearest proxy has added the address that it
/// saw. The first address that is not a trusted proxy is the client's. Everything left of it may be
/// forged.
///
/// If the next element is missing, empty, malformed, or hides the address as `unknown` or
/// `_hidden`, the request counts as the proxy that sent this element (without the header: the peer).
/// All such requests share one key, so none is without a limit.
///
/// ```
/// use ratelimit_client::http::TrustedProxies;
///
/// let proxies = TrustedProxies::behind(["10.0.0.0/8".parse().unwrap()]);
/// let mut headers = http::HeaderMap::new();
/// headers.insert("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2".parse().unwrap());
///
/// let client = proxies.client("10.0.0.1".parse().unwrap(), &headers);
/// assert_eq!(client.to_string(), "203.0.113.7");
/// // Anybody can send the header, so it is read only from a trusted peer.
/// let stranger = "198.51.100.1".parse().unwrap();
/// assert_eq!(proxies.client(stranger, &headers), stranger);
/// ```
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    trusted: Vec<IpNet>,
    header: HeaderName,
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

impl TrustedProxies {
    /// Clients connect without a proxy: no header is read.
    pub fn direct() -> Self {
        Self::behind([])
    }

    /// Clients connect through these proxies, which add to `X-Forwarded-For`. Every member of a
    /// trusted network is believed: it can name any address as the client's. An IPv4 network inside
    /// IPv6 (`::ffff:10.0.0.0/104`) is the IPv4 network.
    pub fn behind(proxies: impl IntoIterator<Item = IpNet>) -> Self {
        let trusted = proxies.into_iter().map(canonical).collect();
        Self { trusted, header: X_FORWARDED_FOR, ipv4_prefix: 32, ipv6_prefix: 64 }
    }

    /// The proxies add to `Forwarded` (RFC 7239). Only one of the two headers is ever read: a proxy
    /// passes the header that it does not know as the client sent it.
    #[must_use]
    pub fn forwarded(self) -> Self {
        Self { header: FORWARDED, ..self }
    }

    /// Sets how many leading bits of an IPv4 address make a client. The default is 32, the whole
    /// address. More than 32 count as 32.
    #[must_use]
    pub fn ipv4_prefix(self, bits: u8) -> Self {
        Self { ipv4_prefix: bits.min(32), ..self }
    }

    /// Sets how many leading bits of an IPv6 address make a client. The default is 64, which is
    /// what one household or one machine is given. More than 128 count as 128.
    #[must_use]
    pub fn ipv6_prefix(self, bits: u8) -> Self {
        Self { ipv6_prefix: bits.min(128), ..self }
    }

    /// The client's address, where `peer` is the other end of the connection. An IPv4 address
    /// inside an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(&self.header).iter().rev();
        let hops = lines.flat_map(|line| self.hops(line.as_bytes()));
        let mut client = peer.to_canonical();
        for hop in hops {
            match hop {
                Some(hop) if self.trusts(client) => client = hop.to_canonical(),
                _ => break,
            }
        }
        client
    }

    /// The part of an address that makes the key: `203.0.113.7`, `2001:db8:1:2::/64`.
    pub fn network(&self, client: IpAddr) -> String {
        match client.to_canonical() {
            IpAddr::V4(address) if self.ipv4_prefix == 32 => address.to_string(),
            IpAddr::V4(address) => {
                let network = Ipv4Net::new(address, self.ipv4_prefix).expect("at most 32 bits");
                network.trunc().to_string()
            }
            IpAddr::V6(address) => {
                let network = Ipv6Net::new(address, self.ipv6_prefix).expect("at most 128 bits");
                network.trunc().to_string()
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The addresses of one line, nearest first. `None` for an element without an address.
    fn hops(&self, line: &[u8]) -> Vec<Option<IpAddr>> {
        let line = String::from_utf8_lossy(line);
        if self.header == FORWARDED {
            return forwarded_hops(&line);
        }
        line.rsplit(',').map(|element| address(element.trim())).collect()
    }
}

/// Peers and elements of the header are canonical too, so a mapped network would match none of
/// them.
fn canonical(network: IpNet) -> IpNet {
    let inside = |v6: Ipv6Net| {
        let address = v6.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, v6.prefix_len().checked_sub(96)?).ok()
    };
    match network {
        IpNet::V6(v6) => inside(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

/// The addresses of all elements. A single `None` if a quote stays open, because it may hide any
/// number of elements.
fn forwarded_hops(line: &str) -> Vec<Option<IpAddr>> {
    let Some(elements) = split_unquoted(line, ',') else { return vec![None] };
    elements.into_iter().rev().map(forwarded_for).collect()
}

/// Reads `for=192.0.2.60;proto=http`, `For="[2001:db8::17]:4711"`. Two `for` in one element count
/// as none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = split_unquoted(element, ';')?.into_iter().filter_map(|pair| pair.split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (node, None) = (nodes.next()?.1.trim(), nodes.next()) else { return None };
    // An address in quotes contains no escapes.
    address(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

/// Splits at separators outside quotes. `None` if a quote stays open.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if c == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn behind() -> TrustedProxies {
        TrustedProxies::behind(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
    }

    fn client(addresses: &TrustedProxies, peer: &str, name: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        addresses.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_header_is_read_from_a_trusted_peer_alone() {
        let cases = [
            ("203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1"),
            ("::ffff:10.0.0.1", "198.51.100.1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("fd00::1", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (peer, expected) in cases {
            let found = client(&behind(), peer, "x-forwarded-for", &[b"198.51.100.1"]);
            assert_eq!(found, expected, "{peer}");
            let direct =
                client(&TrustedProxies::direct(), peer, "x-forwarded-for", &[b"198.51.100.1"]);
            assert_eq!(direct, peer.trim_start_matches("::ffff:"), "{peer}");
        }
    }

    #[test]
    fn the_right_most_untrusted_of_x_forwarded_for_is_the_client() {
        let cases: &[(&[&[u8]], &str)] = &[
            (&[], "10.0.0.1"),
            (&[b""], "10.0.0.1"),
            (&[b"1.1.1.1"], "1.1.1.1"),
            (&[b"9.9.9.9, 1.1.1.1"], "1.1.1.1"),
            (&[b"9.9.9.9,1.1.1.1 ,\t10.0.0.2"], "1.1.1.1"),
            (&[b"9.9.9.9", b"1.1.1.1, 10.0.0.2", b"10.0.0.3"], "1.1.1.1"),
            // All are proxies: the left-most.
            (&[b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // With ports and brackets.
            (&[b"1.1.1.1:8080"], "1.1.1.1"),
            (&[b"2001:db8::1"], "2001:db8::1"),
            (&[b"[2001:db8::1]"], "2001:db8::1"),
            (&[b"[2001:db8::1]:443"], "2001:db8::1"),
            (&[b"::ffff:1.1.1.1"], "1.1.1.1"),
            (&[b"1.1.1.1, [::ffff:10.0.0.2]:1"], "1.1.1.1"),
            // Anything left of the client's address is ignored.
            (&[b"\xff\xfe garbage, \"\", 1.1.1.1"], "1.1.1.1"),
            // A malformed element ends the search at the last good address.
            (&[b"1.1.1.1, unknown"], "10.0.0.1"),
            (&[b"1.1.1.1, unix:, 10.0.0.2"], "10.0.0.2"),
            (&[b"1.1.1.1, , 10.0.0.2"], "10.0.0.2"),
            (&[b"1.1.1.1,"], "10.0.0.1"),
            (&[b"1.1.1.1:99999"], "10.0.0.1"),
            (&[b"1.1.1.1:"], "10.0.0.1"),
            (&[b"01.1.1.1"], "10.0.0.1"),
            (&[b"[1.1.1.1]"], "10.0.0.1"),
            (&[b"[2001:db8::1"], "10.0.0.1"),
            (&[b"fe80::1%eth0"], "10.0.0.1"),
            (&[b"\"1.1.1.1\""], "10.0.0.1"),
            (&[b"1.1.1.1\xff"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            let found = client(&behind(), "10.0.0.1", "x-forwarded-for", lines);
            assert_eq!(found, *expected, "{lines:?}");
        }
    }

    #[test]
    fn the_right_most_untrusted_of_forwarded_is_the_client() {
        let cases: &[(&[&[u8]], &str)] = &[
            (&[], "10.0.0.1"),
            (&[b"for=1.1.1.1"], "1.1.1.1"),
            (&[b"for=9.9.9.9, For=1.1.1.1;proto=http;by=10.0.0.1"], "1.1.1.1"),
            (&[b"proto=http; for=\"1.1.1.1:47011\", for=10.0.0.2"], "1.1.1.1"),
            (&[b"for=\"[2001:db8::17]:4711\""], "2001:db8::17"),
            (&[b"for=\"[2001:db8::17]\""], "2001:db8::17"),
            (&[b"for=9.9.9.9", b"for=1.1.1.1"], "1.1.1.1"),
            // A quoted host may contain something that looks like another element.
            (&[b"for=1.1.1.1;host=\"x, for=9.9.9.9;y=\\\"\""], "1.1.1.1"),
            // An open quote hides its whole line, and no other line.
            (&[b"for=\"9.9.9.9", b"for=1.1.1.1"], "1.1.1.1"),
            (&[b"for=\"9.9.9.9, for=1.1.1.1"], "10.0.0.1"),
            (&[b"for=1.1.1.1;host=\"\\"], "10.0.0.1"),
            // Hidden, missing, doubled or malformed.
            (&[b"for=1.1.1.1, for=unknown"], "10.0.0.1"),
            (&[b"for=1.1.1.1, for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&[b"for=1.1.1.1, proto=http"], "10.0.0.1"),
            (&[b"for=1.1.1.1;for=2.2.2.2"], "10.0.0.1"),
            (&[b"for=\"1.1.1.1"], "10.0.0.1"),
            (&[b"for=\"1.1.1.1:_port\""], "10.0.0.1"),
            (&[b"for"], "10.0.0.1"),
            (&[b"="], "10.0.0.1"),
            (&[b"for=\xff"], "10.0.0.1"),
            (&[b","], "10.0.0.1"),
        ];
        let addresses = behind().forwarded();
        for (lines, expected) in cases {
            let found = client(&addresses, "10.0.0.1", "forwarded", lines);
            assert_eq!(found, *expected, "{lines:?}");
        }
    }

    #[test]
    fn the_other_header_is_not_read() {
        let xff = client(&behind(), "10.0.0.1", "forwarded", &[b"for=9.9.9.9"]);
        let forwarded = client(&behind().forwarded(), "10.0.0.1", "x-forwarded-for", &[b"9.9.9.9"]);
        assert_eq!([xff, forwarded], ["10.0.0.1", "10.0.0.1"]);
    }

    #[test]
    fn ipv6_addresses_share_a_key_by_prefix() {
        let cases = [
            (64, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            (48, "2001:db8:1:2:3::4", "2001:db8:1::/48"),
            (128, "2001:db8::4", "2001:db8::4/128"),
            (200, "2001:db8::4", "2001:db8::4/128"),
            (0, "2001:db8::4", "::/0"),
            (64, "::ffff:192.0.2.1", "192.0.2.1"),
            (64, "192.0.2.1", "192.0.2.1"),
        ];
        for (bits, address, expected) in cases {
            let addresses = TrustedProxies::direct().ipv6_prefix(bits);
            assert_eq!(addresses.network(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn ipv4_addresses_share_a_key_by_prefix() {
        for (bits, expected) in
            [(32, "192.0.2.9"), (24, "192.0.2.0/24"), (200, "192.0.2.9"), (0, "0.0.0.0/0")]
        {
            let addresses = TrustedProxies::direct().ipv4_prefix(bits);
            for address in ["192.0.2.9", "::ffff:192.0.2.9"] {
                assert_eq!(addresses.network(address.parse().unwrap()), expected);
            }
        }
    }

    #[test]
    fn a_mapped_network_is_the_ipv4_network() {
        for (network, expected) in [
            ("::ffff:10.0.0.1/128", "9.9.9.9"),
            ("::ffff:10.0.0.0/104", "9.9.9.9"),
            ("::ffff:10.0.0.2/128", "10.0.0.1"),
            ("::/0", "10.0.0.1"),
        ] {
            let addresses = TrustedProxies::behind([network.parse().unwrap()]);
            let found = client(&addresses, "10.0.0.1", "x-forwarded-for", &[b"9.9.9.9"]);
            assert_eq!(found, expected, "{network}");
        }
    }

    #[test]
    fn a_huge_header_is_read_in_one_pass() {
        let long = "10.0.0.2,".repeat(100_000);
        let found =
            client(&behind(), "10.0.0.1", "x-forwarded-for", &[long.as_bytes(), b"10.0.0.3"]);
        assert_eq!(found, "10.0.0.3");
    }
}
