//! Where the counts are kept, by `REDIS_URL`. No error repeats any of it: it may hold a password.

use ratelimit_client::redis::{ConnectionInfo, IntoConnectionInfo};

/// Where the counts are kept.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Memory,
    Server(Box<ConnectionInfo>),
    Cluster(Vec<ConnectionInfo>),
    Sentinel(Box<Sentinels>),
}

/// Sentinels, and how to connect to the master that they name.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<ConnectionInfo>,
    pub(crate) master: String,
    /// The address is the first sentinel's, as a placeholder; user, password, database and TLS are the
    /// master's.
    pub(crate) server: ConnectionInfo,
}

const MESSAGE: &str = "must be redis://[user:password@]host[:port][/db], rediss:// (TLS), \
redis+unix:///path, redis-sentinel://[user:password@]host[:26379],host/master[/db] or \
redis-cluster://[user:password@]host[:port],host (rediss-sentinel://, rediss-cluster:// with TLS)";

impl Target {
    pub(crate) fn host(host: &str, port: u16) -> Result<Self, &'static str> {
        (host, port).into_connection_info().map(Self::server).map_err(|_| MESSAGE)
    }

    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or(MESSAGE)?;
        let (kind, tls) = match scheme.strip_prefix("rediss-") {
            Some(kind) => (kind, "rediss"),
            None => (scheme.strip_prefix("redis-").unwrap_or(""), "redis"),
        };
        match kind {
            "sentinel" => Self::sentinels(tls, rest),
            "cluster" => {
                let (credentials, hosts, path) = split_url(rest);
                // A cluster has only the database 0.
                if !path.is_empty() && path != "0" {
                    return Err(MESSAGE);
                }
                Ok(Self::Cluster(nodes(tls, credentials, hosts, 6379)?))
            }
            _ => node(url).map(Self::server),
        }
    }

    /// For log lines and answers: no user, no password.
    pub(crate) fn name(&self) -> String {
        let list = |nodes: &[ConnectionInfo]| {
            nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Memory => "the memory of this process".to_owned(),
            Self::Server(info) => info.addr().to_string(),
            Self::Cluster(nodes) => format!("the cluster at {}", list(nodes)),
            Self::Sentinel(named) => {
                format!("the master {:?} of {}", named.master, list(&named.sentinels))
            }
        }
    }

    fn server(info: ConnectionInfo) -> Self {
        Self::Server(Box::new(info))
    }

    fn sentinels(tls: &str, rest: &str) -> Result<Self, &'static str> {
        let (credentials, hosts, path) = split_url(rest);
        let (master, db) = path.split_once('/').unwrap_or((path, "0"));
        if master.is_empty() {
            return Err(MESSAGE);
        }
        let sentinels = nodes(tls, "", hosts, 26379)?;
        let first = hosts.split(',').next().unwrap_or(hosts);
        let server = node(&format!("{tls}://{credentials}{first}/{db}"))?;
        let master = master.to_owned();
        Ok(Self::Sentinel(Box::new(Sentinels { sentinels, master, server })))
    }
}

/// `user:password@`, `host,host:port`, `path`.
fn split_url(rest: &str) -> (&str, &str, &str) {
    let (credentials, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    (credentials, hosts, path)
}

fn nodes(
    scheme: &str,
    credentials: &str,
    hosts: &str,
    port: u16,
) -> Result<Vec<ConnectionInfo>, &'static str> {
    let node_of = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let port = if has_port { String::new() } else { format!(":{port}") };
        node(&format!("{scheme}://{credentials}{host}{port}"))
    };
    hosts.split(',').map(node_of).collect()
}

fn node(url: &str) -> Result<ConnectionInfo, &'static str> {
    url.into_connection_info().map_err(|_| MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> Result<String, &'static str> {
        Target::parse(url).map(|target| target.name())
    }

    #[test]
    fn each_scheme_names_its_servers_and_no_secret() {
        let cases = [
            ("redis://h", "h:6379"),
            ("redis://user:hush@h:1/2", "h:1"),
            ("rediss://:hush@[::1]:1", "::1:1"),
            ("redis-cluster://user:hush@a:1,b", "the cluster at a:1,b:6379"),
            ("rediss-cluster://[::1],[::2]:7", "the cluster at ::1:6379,::2:7"),
            ("redis-sentinel://:hush@a,b:5/mymaster", "the master \"mymaster\" of a:26379,b:5"),
            ("rediss-sentinel://a/mymaster/3", "the master \"mymaster\" of a:26379"),
        ];
        for (url, expected) in cases {
            assert_eq!(name(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn a_wrong_url_gets_the_rule() {
        let wrong = ["", "h", "http://h", "redis://", "redis://h:70000", "redis-cluster://a,,b"];
        let further = ["redis-cluster://a/1", "redis-sentinel://a", "redis-sentinel://a/m/x"];
        for url in wrong.into_iter().chain(further) {
            assert_eq!(name(url), Err(MESSAGE), "{url:?}");
        }
    }

    #[test]
    fn a_password_reaches_each_node_and_the_master() {
        let Ok(Target::Cluster(nodes)) = Target::parse("redis-cluster://u:p%40@a,b") else {
            panic!("a cluster");
        };
        for node in nodes {
            assert_eq!(node.redis_settings().password(), Some("p@"));
        }
        let Ok(Target::Sentinel(named)) = Target::parse("redis-sentinel://u:p@a/m/3") else {
            panic!("sentinels");
        };
        assert_eq!(named.server.redis_settings().password(), Some("p"));
        assert_eq!(named.server.redis_settings().db(), 3);
        assert_eq!(named.sentinels[0].redis_settings().password(), None);
    }
}
