//! The field `Host`, which every request of HTTP/1.1 must have, once and well formed (RFC 9112, 3.2).

use std::net::Ipv6Addr;

use axum::http::header::HOST;
use axum::http::{Request, Version};

/// Whether the request may be answered. HTTP/1.0 knows requests without the field.
pub(super) fn is_valid<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => request.version() < Version::HTTP_11,
        _ => false,
    }
}

/// `uri-host [ ":" port ]` of RFC 3986, which may be empty.
fn is_host(value: &[u8]) -> bool {
    let (is_host, rest) = match value.strip_prefix(b"[") {
        Some(literal) => match literal.iter().position(|&byte| byte == b']') {
            Some(end) => (is_ipv6(&literal[..end]), &literal[end + 1..]),
            None => return false,
        },
        None => {
            let end = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
            (is_name(&value[..end]), &value[end..])
        }
    };
    is_host && (rest.is_empty() || rest[0] == b':' && rest[1..].iter().all(u8::is_ascii_digit))
}

fn is_ipv6(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// A name or an IPv4 address.
fn is_name(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    if text.iter().all(is_plain) {
        return true;
    }
    let mut parts = text.split(|&byte| byte == b'%');
    let is_encoded = |part: &[u8]| {
        part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit) && part.iter().all(is_plain)
    };
    parts.next().is_some_and(|first| first.iter().all(is_plain)) && parts.all(is_encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let good =
            ["", "h", "h:80", "h:", "a-b.c_d:1", "10.0.0.7:3000", "[::1]", "[::1]:3000", "%41b"];
        for host in good {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        let bad =
            ["a b", "a/b", "u@h", "h:x", "h:1:2", "[::1", "[h]", "[::1]x", "h?", "%4", "a,b c"];
        for host in bad {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
        assert!(!is_host(&[0xff]));
    }
}
