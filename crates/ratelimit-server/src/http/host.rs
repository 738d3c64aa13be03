//! The `Host` of a request, against DNS rebinding: a page of another site whose name leads to
//! 127.0.0.1 reaches this service as if it were the page's own, with every right of a program here.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{Request, Response, StatusCode, Uri};

use super::problem::Problem;
use crate::policies::key_by::Peer;
use crate::settings::Settings;

const MESSAGE: &str = "Host must be an address, localhost, or one of the names in ALLOWED_HOSTS";

/// The answer to a request whose `Host` is not allowed. `None`: the request may go on.
///
/// A browser cannot be led to an address or to localhost by the DNS of another site. So only other
/// names are refused, from this machine or, where `ALLOWED_HOSTS` is set, from every one.
pub(super) fn refusal<B>(
    request: &Request<B>,
    peer: &Peer,
    settings: &Settings,
) -> Option<Response<Body>> {
    let is_concerned = is_guarded(request.uri().path())
        && (peer.is_loopback() || !settings.allowed_hosts.is_empty());
    if !is_concerned || names_allowed_host(request, settings) {
        return None;
    }
    Some(Problem::new(StatusCode::FORBIDDEN, MESSAGE).response())
}

/// For `/v1/auth` a proxy passes on the `Host` of its visitor, and the answer tells a page nothing.
fn is_guarded(path: &str) -> bool {
    match path.strip_prefix("/v1") {
        Some(below) => !below.starts_with("/auth"),
        None => path.starts_with("/dashboard") || path == "/metrics",
    }
}

/// The address in the first line, if there is one, comes before the field (RFC 9112, 3.2.2).
fn names_allowed_host<B>(request: &Request<B>, settings: &Settings) -> bool {
    if let Some(authority) = request.uri().authority() {
        return is_allowed(authority.as_str(), settings);
    }
    let mut hosts = request.headers().get_all(HOST).iter().peekable();
    hosts.peek().is_some()
        && hosts.all(|host| host.to_str().is_ok_and(|host| is_allowed(host, settings)))
}

fn is_allowed(host: &str, settings: &Settings) -> bool {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_name = |known: &str| known.eq_ignore_ascii_case(name);
    name.parse::<Ipv4Addr>().is_ok()
        || is_name("localhost")
        || settings.allowed_hosts.iter().any(|known| is_name(known))
        || settings.peers.iter().filter_map(Uri::host).any(is_name)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const LOOPBACK: [&str; 3] = ["127.0.0.1", "127.3.2.1", "::ffff:127.0.0.1"];

    fn is_refused(host: Option<&str>, path: &str, peer: &str, arguments: &[&str]) -> bool {
        let settings = Settings::of_arguments(&[&["--backend=memory"], arguments].concat());
        let mut request = Request::builder().uri(path);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let peer = Peer::new(peer.parse::<IpAddr>().unwrap(), &settings.trusted_proxies);
        refusal(&request.body(()).unwrap(), &peer, &settings).is_some()
    }

    #[test]
    fn from_this_machine_the_host_is_an_address_or_localhost() {
        let cases = [
            (Some("127.0.0.1:3000"), false),
            (Some("10.1.2.3"), false),
            (Some("[::1]:3000"), false),
            (Some("LocalHost:3000"), false),
            (Some("evil.example"), true),
            (Some("evil.example:3000"), true),
            (Some("127.0.0.1.evil.example"), true),
            (Some("localhost.evil.example"), true),
            (Some("[evil.example]"), true),
            (Some("127.1"), true),
            (Some(""), true),
            (None, true),
        ];
        for (host, expected) in cases {
            for peer in LOOPBACK {
                assert_eq!(is_refused(host, "/v1/check", peer, &[]), expected, "{host:?} {peer}");
            }
            assert!(!is_refused(host, "/v1/check", "10.0.0.7", &[]), "{host:?}");
        }
    }

    #[test]
    fn allowed_hosts_add_names_and_hold_for_every_connection() {
        let allowed = ["--allowed-hosts=limits.example, Ratelimit-1"];
        let cases = [
            ("limits.example", false),
            ("LIMITS.example:8080", false),
            ("ratelimit-1:3000", false),
            ("10.1.2.3:3000", false),
            ("evil.example", true),
            ("x.limits.example", true),
        ];
        for (host, expected) in cases {
            for peer in ["127.0.0.1", "10.0.0.7"] {
                assert_eq!(is_refused(Some(host), "/metrics", peer, &allowed), expected, "{host}");
            }
        }
    }

    #[test]
    fn the_names_of_peers_are_allowed() {
        let peers = ["--peers=http://ratelimit-1:3000,http://ratelimit-2:3000"];
        assert!(!is_refused(Some("ratelimit-2:3000"), "/v1/check", "127.0.0.1", &peers));
        assert!(is_refused(Some("ratelimit-3:3000"), "/v1/check", "127.0.0.1", &peers));
    }

    #[test]
    fn only_some_paths_are_concerned() {
        let cases = [
            ("/v1/check", true),
            ("/v1/peek", true),
            ("/v1/check/batch", true),
            ("/metrics", true),
            ("/dashboard", true),
            ("/dashboard/simulation", true),
            ("http://evil.example/v1/check", true),
            ("http://127.0.0.1/v1/check", false),
            ("/v1/auth", false),
            ("/v1/auth/forwarded", false),
            ("/", false),
            ("/healthz", false),
            ("/readyz", false),
            ("/openapi.json", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_refused(Some("evil.example"), path, "::1", &[]), expected, "{path}");
        }
    }
}
