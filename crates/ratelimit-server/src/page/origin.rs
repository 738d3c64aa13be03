//! Whether a request comes from a page of another site, by what a browser says of it.

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

pub(crate) const MESSAGE: &str =
    "only this service's own page can start a simulation; a proxy before it must pass on Host";

/// A browser names the origin of the page with each POST, and over https or on localhost also how
/// that origin relates to this one. Other programs send neither, and are not restricted.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    match (origin.as_ref().and_then(Uri::authority), host) {
        (Some(origin), Some(host)) => !is_same(origin, &host),
        _ => true,
    }
}

/// Some proxies pass on the host without its port, so a missing port agrees with each.
fn is_same(origin: &Authority, host: &Authority) -> bool {
    let has_port = host.port_u16().is_some();
    origin.host().eq_ignore_ascii_case(host.host())
        && (!has_port || origin.port_u16() == host.port_u16())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn is_foreign_with(pairs: &[(&'static str, &'static str)]) -> bool {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::from_static(name), value.parse().expect("a valid value"))
        });
        is_foreign(&pairs.collect())
    }

    #[test]
    fn the_origin_must_be_the_host() {
        let cases = [
            ("http://a.example:3000", "a.example:3000", false),
            ("http://A.example:3000", "a.example:3000", false),
            ("http://a.example", "a.example", false),
            // nginx's $host has no port.
            ("http://a.example:8080", "a.example", false),
            ("http://[::1]:3000", "[::1]:3000", false),
            ("http://a.example:3001", "a.example:3000", true),
            ("http://a.example", "a.example:3000", true),
            ("http://b.example:3000", "a.example:3000", true),
            ("http://a.example.b.example", "a.example", true),
            ("null", "a.example", true),
            ("", "a.example", true),
            ("http://a.example", "a example", true),
        ];
        for (origin, host, expected) in cases {
            let is_foreign = is_foreign_with(&[("origin", origin), ("host", host)]);
            assert_eq!(is_foreign, expected, "{origin:?} at {host:?}");
        }
        assert!(is_foreign_with(&[("origin", "http://a.example")]));
        assert!(!is_foreign_with(&[("host", "a.example")]));
    }

    #[test]
    fn only_the_same_origin_is_ours_where_the_browser_says_so() {
        let host = ("host", "a.example:3000");
        let cases =
            [("same-origin", false), ("same-site", true), ("cross-site", true), ("none", true)];
        for (site, expected) in cases {
            assert_eq!(is_foreign_with(&[host, ("sec-fetch-site", site)]), expected, "{site}");
        }
    }
}
