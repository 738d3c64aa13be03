//! Where the counts are kept, by `REDIS_URL`. No error repeats any of it: it may hold a password.

use ratelimit_client::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

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

/// `#insecure` would skip the check of the certificate, and this build cannot do that.
const FRAGMENT: &str =
    "must have no # (in a password it is %23; instead of #insecure, REDIS_CA_FILE \
names the authority of a certificate)";

/// A user and a password, where neither stands in the URL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
}

impl<'a> Login<'a> {
    pub(crate) fn new(user: &'a Option<String>, password: &'a Option<String>) -> Self {
        Self { user: user.as_deref(), password: password.as_deref() }
    }

    fn is_empty(self) -> bool {
        self.user.is_none() && self.password.is_none()
    }

    fn at(self, info: &ConnectionInfo) -> Result<ConnectionInfo, &'static str> {
        let mut settings = info.redis_settings().clone();
        if self.password.is_some() && settings.password().is_some() {
            return Err("cannot be set: REDIS_URL has a password");
        }
        if self.user.is_some() && settings.username().is_some() {
            return Err("cannot be set: REDIS_URL has a user");
        }
        if let Some(password) = self.password {
            settings = settings.set_password(password);
        }
        if let Some(user) = self.user {
            settings = settings.set_username(user);
        }
        if settings.username().is_some() && settings.password().is_none() {
            return Err("must both be set: a user has a password");
        }
        Ok(info.clone().set_redis_settings(settings))
    }

    fn at_each(self, nodes: &[ConnectionInfo]) -> Result<Vec<ConnectionInfo>, &'static str> {
        nodes.iter().map(|node| self.at(node)).collect()
    }
}

impl Target {
    pub(crate) fn host(host: &str, port: u16) -> Result<Self, &'static str> {
        (host, port).into_connection_info().map(Self::server).map_err(|_| MESSAGE)
    }

    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        if url.contains('#') {
            return Err(FRAGMENT);
        }
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

    /// The same with this user and password at Redis.
    pub(crate) fn with_login(self, login: Login) -> Result<Self, &'static str> {
        if login.is_empty() {
            return Ok(self);
        }
        Ok(match self {
            Self::Memory => Self::Memory,
            Self::Server(info) => Self::Server(Box::new(login.at(&info)?)),
            Self::Cluster(nodes) => Self::Cluster(login.at_each(&nodes)?),
            Self::Sentinel(mut named) => {
                named.server = login.at(&named.server)?;
                Self::Sentinel(named)
            }
        })
    }

    /// The same with this user and password at the sentinels.
    pub(crate) fn with_sentinel_login(self, login: Login) -> Result<Self, &'static str> {
        match self {
            target if login.is_empty() => Ok(target),
            Self::Sentinel(mut named) => {
                named.sentinels = login.at_each(&named.sentinels)?;
                Ok(Self::Sentinel(named))
            }
            _ => Err("need a REDIS_URL with sentinels (redis-sentinel://)"),
        }
    }

    pub(crate) fn has_tls(&self) -> bool {
        let has_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        match self {
            Self::Memory => false,
            Self::Server(info) => has_tls(info),
            Self::Cluster(nodes) => nodes.iter().any(has_tls),
            Self::Sentinel(named) => has_tls(&named.server),
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
    fn a_fragment_is_refused_at_once() {
        for url in [
            "rediss://h/#insecure",
            "redis://h#x",
            "rediss-cluster://a,b/#insecure",
            "redis://:p#w@h",
        ] {
            assert_eq!(name(url), Err(FRAGMENT), "{url}");
        }
        assert_eq!(name("redis://:p%23w@h").as_deref(), Ok("h:6379"));
    }

    #[test]
    fn a_login_beside_the_url_reaches_each_server() {
        let text = |text: &str| Some(text.to_owned());
        let (user, password) = (text("u"), text("p"));
        let login = Login::new(&user, &password);
        let both = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            (settings.username().map(str::to_owned), settings.password().map(str::to_owned))
        };
        for url in ["redis://h", "redis-cluster://a,b", "redis-sentinel://a,b/m"] {
            let target = Target::parse(url).unwrap().with_login(login).unwrap();
            let found = match &target {
                Target::Server(info) => both(info),
                Target::Cluster(nodes) => both(&nodes[1]),
                Target::Sentinel(named) => both(&named.server),
                Target::Memory => unreachable!(),
            };
            assert_eq!(found, (text("u"), text("p")), "{url}");
        }
        let sentinels = Target::parse("redis-sentinel://:x@a,b/m").unwrap();
        let Ok(Target::Sentinel(named)) = sentinels.with_sentinel_login(login) else {
            panic!("sentinels");
        };
        assert_eq!(both(&named.sentinels[1]), (text("u"), text("p")));
        assert_eq!(both(&named.server), (None, text("x")));
        for (url, user, password) in [
            ("redis://:x@h", None, text("p")),
            ("redis://v:x@h", text("u"), None),
            ("redis://h", text("u"), None),
        ] {
            let login = Login::new(&user, &password);
            assert!(Target::parse(url).unwrap().with_login(login).is_err(), "{url}");
        }
        assert!(Target::parse("redis://h").unwrap().with_sentinel_login(login).is_err());
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
