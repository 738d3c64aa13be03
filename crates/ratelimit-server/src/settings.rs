//! The settings: arguments as text from flags, environment and `.env`, and the same validated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ratelimit_client::http::TrustedProxies;
use ratelimit_client::redis::TlsCertificates;
use ratelimit_client::Policy;

use crate::backend::target::{Login, Target};
use crate::policies::key_by::KeyBy;
use crate::policies::words::{digits, in_range, parse_time, PolicyWords, Word};
use crate::telemetry::log::Log;
use crate::{dotenv, secrets};

/// A rate-limited API, rate limit decisions for any program, and metrics.
///
/// Every setting is a flag or an environment variable. A file .env in the working directory sets
/// variables that the environment does not set. A flag overrides the environment, and the environment
/// overrides .env. An empty variable counts as not set.
#[derive(Clone, Debug, Parser)]
#[command(name = "ratelimit-server", version, max_term_width = 100, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Check the settings and the file of policies; end with 0 if they can be used, else with 2
    #[arg(long)]
    check: bool,

    /// Where decisions are made: redis (or Valkey), or memory (in this process, for one instance)
    #[arg(long, env, default_value = "redis", value_name = "redis|memory")]
    backend: String,
    /// The host of Redis
    #[arg(long, env, default_value = "127.0.0.1", value_name = "HOST")]
    redis_host: String,
    /// The port of Redis
    #[arg(long, env, default_value = "6379", value_name = "PORT")]
    redis_port: String,
    /// Instead of host and port: redis://user:password@host:port/db, rediss:// with TLS,
    /// redis+unix:///path, redis-sentinel://host:26379,host/master, redis-cluster://host,host
    /// (rediss-sentinel://, rediss-cluster:// with TLS)
    #[arg(long, env, value_name = "URL")]
    redis_url: Option<String>,
    /// A file that holds REDIS_URL
    #[arg(long, env, value_name = "FILE")]
    redis_url_file: Option<String>,
    /// The user at Redis; the default user if not set
    #[arg(long, env, value_name = "NAME")]
    redis_user: Option<String>,
    /// The password of the user at Redis
    #[arg(long, env, value_name = "TEXT")]
    redis_password: Option<String>,
    /// A file that holds REDIS_PASSWORD
    #[arg(long, env, value_name = "FILE")]
    redis_password_file: Option<String>,
    /// The user at the sentinels; the default user if not set
    #[arg(long, env, value_name = "NAME")]
    redis_sentinel_user: Option<String>,
    /// The password of the user at the sentinels
    #[arg(long, env, value_name = "TEXT")]
    redis_sentinel_password: Option<String>,
    /// A file that holds REDIS_SENTINEL_PASSWORD
    #[arg(long, env, value_name = "FILE")]
    redis_sentinel_password_file: Option<String>,
    /// The certificate authorities for TLS to Redis, as PEM; those of the system if not set
    #[arg(long, env, value_name = "FILE")]
    redis_ca_file: Option<String>,
    /// The certificate that this service shows to Redis, as PEM
    #[arg(long, env, value_name = "FILE")]
    redis_cert_file: Option<String>,
    /// The key of REDIS_CERT_FILE, as PEM
    #[arg(long, env, value_name = "FILE")]
    redis_key_file: Option<String>,
    /// How long to wait for an answer of Redis; after that ON_REDIS_FAILURE decides
    #[arg(long, env, default_value = "200ms", value_name = "TIME")]
    redis_deadline: String,
    /// How long to wait for Redis at the start before the process ends with 1; 0: start at once, and
    /// let ON_REDIS_FAILURE decide until Redis answers
    #[arg(long, env, default_value = "30s", value_name = "TIME")]
    start_deadline: String,
    /// What decides while Redis fails: local (this instance allows its share of each limit), open
    /// (every request is allowed), closed (no request is allowed: 503)
    #[arg(long, env, default_value = "local", value_name = "local|open|closed")]
    on_redis_failure: String,
    /// How many instances share each limit; this sets the share of each while Redis fails
    #[arg(long, env, default_value = "1", value_name = "N")]
    instances: String,
    /// The maximum number of keys in the memory of this process, of about 270 bytes and the key each;
    /// when it is full, a new key is 503 until another one has expired
    #[arg(long, env, default_value = "250000", value_name = "N")]
    memory_keys: String,
    /// How long at most a denied key is denied again without asking Redis; 0: always ask Redis
    #[arg(long, env, default_value = "1s", value_name = "TIME")]
    remember_denials: String,
    /// Prefix of every key in Redis
    #[arg(long, env, default_value = "ratelimit:", value_name = "TEXT")]
    key_prefix: String,

    /// The address to listen on; 0.0.0.0 for all
    #[arg(long, env, default_value = "127.0.0.1", value_name = "ADDRESS")]
    bind: String,
    /// The port to listen on; 0 takes a free one
    #[arg(long, env, default_value = "3000", value_name = "PORT")]
    port: String,
    /// Address and port of their own for /metrics, /healthz and /readyz, as 127.0.0.1:9100; if not
    /// set, BIND and PORT have them
    #[arg(long, env, value_name = "ADDRESS:PORT")]
    admin_bind: Option<String>,
    /// The limit of GET /, and of every request that no policy matches
    #[arg(long, env, default_value = "5", value_name = "N")]
    rate_limit: String,
    /// The window of RATE_LIMIT: seconds, or a number with the unit ms, s, m, h or d
    #[arg(long, env, default_value = "60", value_name = "TIME")]
    time_window: String,
    /// The algorithm of RATE_LIMIT
    #[arg(long, env, default_value = "fixed", value_name = "fixed|sliding|bucket")]
    algorithm: String,
    /// The size of the bucket, with ALGORITHM=bucket; RATE_LIMIT if not set
    #[arg(long, env, value_name = "N")]
    burst: Option<String>,
    /// What a request counts against: address, bearer (the token, kept as a digest), api-key
    /// (X-API-Key, kept as a digest), header:NAME
    #[arg(long, env, default_value = "address", value_name = "KIND")]
    key_by: String,
    /// Addresses and networks of the proxies whose X-Forwarded-For is trusted: 10.0.0.0/8,127.0.0.1
    #[arg(long, env, value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// Other names that the Host header may have (DNS rebinding). If not set, only requests from this
    /// machine are checked; if set, all are. Never /v1/auth and /. See docs/server.md, Names
    #[arg(long, env, value_name = "LIST")]
    allowed_hosts: Option<String>,
    /// How many leading bits of an IPv4 address make a client
    #[arg(long, env, default_value = "32", value_name = "BITS")]
    ipv4_prefix: String,
    /// How many leading bits of an IPv6 address make a client
    #[arg(long, env, default_value = "64", value_name = "BITS")]
    ipv6_prefix: String,
    /// Whether OPTIONS requests count, which browsers send before others (preflights)
    #[arg(long, env, default_value = "true", value_name = "true|false")]
    count_options: String,
    /// Whether answers let scripts of other origins read the RateLimit fields
    /// (Access-Control-Expose-Headers)
    #[arg(long, env, default_value = "false", value_name = "true|false")]
    expose_fields: String,
    /// A file of policies by route and kind of key; read again when it changes, and at SIGHUP
    #[arg(long, env, value_name = "FILE")]
    policies: Option<String>,

    /// The name of this instance in answers; ratelimit-PORT if not set
    #[arg(long, env, value_name = "NAME")]
    instance: Option<String>,
    /// The instances that the live page sends its requests to, as base URLs; this one if not set
    #[arg(long, env, value_name = "LIST")]
    peers: Option<String>,
    /// The format of the log on standard output
    #[arg(long, env, default_value = "text", value_name = "text|json")]
    log_format: String,
    /// The lowest level that is logged
    #[arg(long, env, default_value = "info", value_name = "error|warn|info|debug")]
    log_level: String,
    /// Whether keys are written as digests in the log and in metrics
    #[arg(long, env, default_value = "false", value_name = "true|false")]
    hash_keys: String,
    /// Secret mixed into the digests, so that keys cannot be guessed; a new one at each start if
    /// not set
    #[arg(long, env, value_name = "TEXT")]
    hash_secret: Option<String>,
    /// A file that holds HASH_SECRET
    #[arg(long, env, value_name = "FILE")]
    hash_secret_file: Option<String>,

    /// The maximum number of connections at a time; more wait
    #[arg(long, env, default_value = "10000", value_name = "N")]
    max_connections: String,
    /// The time in which the head of a request must arrive, and then its body
    #[arg(long, env, default_value = "10s", value_name = "TIME")]
    request_deadline: String,
    /// How long requests in progress may take to finish when the process ends
    #[arg(long, env, default_value = "10s", value_name = "TIME")]
    shutdown_deadline: String,
}

/// What the process does instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Ask the instance at BIND and PORT on this machine for /healthz; end with 0 if it is healthy, else
    /// with 1
    Healthy,
}

/// All settings, valid.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to do instead of serving.
    pub task: Option<Task>,
    /// Only check the settings and the policies.
    pub check: bool,
    pub(crate) target: Target,
    /// For TLS to Redis; `None`: those of the system.
    pub(crate) certificates: Option<TlsCertificates>,
    pub(crate) redis_deadline: Duration,
    /// `None`: start without waiting for Redis.
    pub(crate) start_deadline: Option<Duration>,
    pub(crate) on_failure: OnRedisFailure,
    pub(crate) instances: u32,
    pub(crate) memory_keys: usize,
    pub(crate) remember_denials: Option<Duration>,
    pub(crate) key_prefix: String,
    pub(crate) listen: SocketAddr,
    /// `None`: metrics and probes are at `listen`.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) policy: Policy,
    pub(crate) key_by: KeyBy,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) count_options: bool,
    pub(crate) expose_fields: bool,
    pub(crate) policies: Option<PathBuf>,
    pub(crate) instance: Option<String>,
    pub(crate) peers: Vec<Uri>,
    /// The level and the format of the log.
    pub log: Log,
    pub(crate) hash_keys: bool,
    pub(crate) hash_secret: Option<String>,
    pub(crate) max_connections: usize,
    pub(crate) request_deadline: Duration,
    pub(crate) shutdown_deadline: Duration,
}

/// What decides while Redis fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRedisFailure {
    Local,
    Open,
    Closed,
}

/// Its `--help` names the variables and hides their values, which may be secret.
fn command() -> clap::Command {
    Arguments::command().mut_args(|arg| arg.hide_env_values(true))
}

impl Settings {
    /// Reads the arguments of the process, its environment, and `.env`. For `--help` and `--version` it
    /// prints them and ends the process.
    ///
    /// To be called before any thread starts, because it changes the environment.
    ///
    /// # Errors
    /// The message to print.
    pub fn of_process() -> Result<Self, String> {
        let file = dotenv::read(Path::new(".env")).map_err(|why| format!("error: {why}"))?;
        for (name, value) in file {
            if std::env::var_os(&name).is_none() {
                std::env::set_var(name, value);
            }
        }
        for name in variables() {
            if std::env::var_os(&name).is_some_and(|value| value.is_empty()) {
                std::env::remove_var(&name);
            }
        }
        let matches = command().try_get_matches().map_err(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            error.render().to_string().trim_end().to_owned()
        })?;
        Arguments::from_arg_matches(&matches).map_err(|error| error.to_string())?.validate()
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn of_arguments(arguments: &[&str]) -> Self {
        let all = std::iter::once(&"ratelimit-server").chain(arguments);
        Arguments::parse_from(all).validate().expect("valid settings")
    }
}

/// The address by which a program on this machine reaches an instance that listens on this one.
pub(crate) fn from_here(mut listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        listening.set_ip(match listening {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listening
}

fn variables() -> Vec<String> {
    let name = |arg: &clap::Arg| Some(arg.get_env()?.to_str()?.to_owned());
    command().get_arguments().filter_map(name).collect()
}

impl Arguments {
    fn validate(mut self) -> Result<Settings, String> {
        self.read_secrets()?;
        let (target, certificates) = self.target()?;
        let port = number("PORT", &self.port, 0..=u16::MAX.into())?;
        let on_failure = one_of("ON_REDIS_FAILURE", &self.on_redis_failure, &ON_FAILURE)?;
        Ok(Settings {
            task: self.task,
            check: self.check,
            target,
            certificates,
            redis_deadline: time("REDIS_DEADLINE", &self.redis_deadline)?,
            start_deadline: time_or_none("START_DEADLINE", &self.start_deadline)?,
            on_failure,
            instances: number("INSTANCES", &self.instances, 1..=10_000)?,
            memory_keys: number("MEMORY_KEYS", &self.memory_keys, 1..=1_000_000_000)?,
            remember_denials: time_or_none("REMEMBER_DENIALS", &self.remember_denials)?,
            listen: SocketAddr::new(
                self.bind
                    .parse()
                    .map_err(|_| message("BIND", "must be an IP address", &self.bind))?,
                port,
            ),
            admin: self.admin_bind.as_deref().map(admin).transpose()?,
            policy: self.policy()?,
            key_by: KeyBy::parse(&self.key_by)
                .ok_or_else(|| message("KEY_BY", KeyBy::MESSAGE, &self.key_by))?,
            trusted_proxies: trusted_proxies(self.trusted_proxies.as_deref().unwrap_or(""))?
                .ipv4_prefix(number("IPV4_PREFIX", &self.ipv4_prefix, 1..=32)?)
                .ipv6_prefix(number("IPV6_PREFIX", &self.ipv6_prefix, 1..=128)?),
            count_options: yes_or_no("COUNT_OPTIONS", &self.count_options)?,
            expose_fields: yes_or_no("EXPOSE_FIELDS", &self.expose_fields)?,
            allowed_hosts: allowed_hosts(self.allowed_hosts.as_deref().unwrap_or(""))?,
            policies: self.policies.map(PathBuf::from),
            instance: self.instance.map(|name| instance("INSTANCE", name)).transpose()?,
            peers: peers(self.peers.as_deref().unwrap_or(""))?,
            log: Log {
                json: one_of("LOG_FORMAT", &self.log_format, &[("text", false), ("json", true)])?,
                level: one_of("LOG_LEVEL", &self.log_level, &LEVELS)?,
            },
            hash_keys: yes_or_no("HASH_KEYS", &self.hash_keys)?,
            hash_secret: self.hash_secret,
            max_connections: number("MAX_CONNECTIONS", &self.max_connections, 1..=1_000_000)?,
            request_deadline: time("REQUEST_DEADLINE", &self.request_deadline)?,
            shutdown_deadline: time("SHUTDOWN_DEADLINE", &self.shutdown_deadline)?,
            key_prefix: self.key_prefix,
        })
    }

    fn read_secrets(&mut self) -> Result<(), String> {
        for (variable, value, file) in [
            ("REDIS_URL", &mut self.redis_url, &mut self.redis_url_file),
            ("REDIS_PASSWORD", &mut self.redis_password, &mut self.redis_password_file),
            (
                "REDIS_SENTINEL_PASSWORD",
                &mut self.redis_sentinel_password,
                &mut self.redis_sentinel_password_file,
            ),
            ("HASH_SECRET", &mut self.hash_secret, &mut self.hash_secret_file),
        ] {
            *value = secrets::value_or_file(variable, value.take(), file.take())?;
        }
        Ok(())
    }

    fn target(&self) -> Result<(Target, Option<TlsCertificates>), String> {
        if one_of("BACKEND", &self.backend, &[("redis", false), ("memory", true)])? {
            return Ok((Target::Memory, None));
        }
        let target = self.address()?;
        let login = Login::new(&self.redis_user, &self.redis_password);
        let target = target
            .with_login(login)
            .map_err(|rule| format!("error: REDIS_USER, REDIS_PASSWORD {rule}"))?;
        let login = Login::new(&self.redis_sentinel_user, &self.redis_sentinel_password);
        let target = target.with_sentinel_login(login).map_err(|rule| {
            format!("error: REDIS_SENTINEL_USER, REDIS_SENTINEL_PASSWORD {rule}")
        })?;
        let [ca, certificate, key] =
            [&self.redis_ca_file, &self.redis_cert_file, &self.redis_key_file]
                .map(Option::as_deref);
        let certificates = secrets::certificates(ca, certificate, key)?;
        if certificates.is_some() && !target.has_tls() {
            let rule = "need a REDIS_URL with TLS (rediss://)";
            return Err(format!("error: REDIS_CA_FILE, REDIS_CERT_FILE {rule}"));
        }
        Ok((target, certificates))
    }

    fn address(&self) -> Result<Target, String> {
        if let Some(url) = &self.redis_url {
            return Target::parse(url).map_err(|rule| format!("error: REDIS_URL {rule}"));
        }
        let port = number("REDIS_PORT", &self.redis_port, 1..=u16::MAX.into())?;
        // The value may be a URL with a password, so it is not repeated.
        let host = host(&self.redis_host).ok_or(
            "error: REDIS_HOST must be a host name or an IP address, without a port (REDIS_URL \
             takes a URL)",
        )?;
        Target::host(host, port).map_err(|rule| format!("error: REDIS_HOST, REDIS_PORT {rule}"))
    }

    fn policy(&self) -> Result<Policy, String> {
        let words = PolicyWords {
            limit: Word::of_digits(&self.rate_limit),
            window: Word::Text(self.time_window.clone()),
            windows: None,
            algorithm: Word::Text(self.algorithm.clone()),
            burst: self.burst.as_deref().map_or(Word::Missing, Word::of_digits),
        };
        words.validate().map_err(|wrong| {
            let (variable, value) = match wrong.field.as_str() {
                "limit" => ("RATE_LIMIT", Some(&self.rate_limit)),
                "window" => ("TIME_WINDOW", Some(&self.time_window)),
                "algorithm" => ("ALGORITHM", Some(&self.algorithm)),
                _ => ("BURST", self.burst.as_ref()),
            };
            let rule = wrong.message.strip_prefix(&format!("{} ", wrong.field));
            match (rule, value) {
                (Some(rule), Some(value)) if rule.starts_with("must be") => {
                    message(variable, rule, value)
                }
                _ => format!("error: {variable}: {}", wrong.message),
            }
        })
    }
}

const ON_FAILURE: [(&str, OnRedisFailure); 3] = [
    ("local", OnRedisFailure::Local),
    ("open", OnRedisFailure::Open),
    ("closed", OnRedisFailure::Closed),
];

const LEVELS: [(&str, tracing::Level); 4] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
];

fn message(variable: &str, rule: &str, value: &str) -> String {
    format!("error: {variable} {rule}, not {value:?}")
}

fn number<T: TryFrom<u64>>(
    variable: &str,
    text: &str,
    range: RangeInclusive<u64>,
) -> Result<T, String> {
    let number = in_range(digits(text), range).map_err(|rule| message(variable, &rule, text))?;
    T::try_from(number).map_err(|_| message(variable, "must be less on this machine", text))
}

fn time(variable: &str, text: &str) -> Result<Duration, String> {
    parse_time(text).map_err(|rule| message(variable, rule, text))
}

/// `0` means `None`.
fn time_or_none(variable: &str, text: &str) -> Result<Option<Duration>, String> {
    (text != "0").then(|| time(variable, text)).transpose()
}

fn one_of<T: Copy>(variable: &str, text: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let rule = || format!("must be {}", names.join(" or "));
    found.map(|(_, value)| *value).ok_or_else(|| message(variable, &rule(), text))
}

/// An IPv6 address may stand in brackets.
fn host(text: &str) -> Option<&str> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed {
        return address.parse::<Ipv6Addr>().is_ok().then_some(address);
    }
    let is_name = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let is_host = text.parse::<IpAddr>().is_ok() || !text.is_empty() && text.chars().all(is_name);
    is_host.then_some(text)
}

fn yes_or_no(variable: &str, text: &str) -> Result<bool, String> {
    one_of(variable, text, &[("true", true), ("false", false)])
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// An address stands for the network of that address alone.
fn trusted_proxies(text: &str) -> Result<TrustedProxies, String> {
    let network = |item: &str| match item.parse::<IpAddr>() {
        Ok(address) => format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => item.to_owned(),
    };
    let rule = "must be a list of addresses and networks such as 10.0.0.0/8,127.0.0.1";
    let proxy = |item| network(item).parse().map_err(|_| message("TRUSTED_PROXIES", rule, item));
    Ok(TrustedProxies::behind(list(text).map(proxy).collect::<Result<Vec<_>, _>>()?))
}

fn allowed_hosts(text: &str) -> Result<Vec<String>, String> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let rule = "must be a list of names without port such as limits.example.com,ratelimit-1";
    let name = |item: &str| match item.chars().all(is_in_name) {
        true => Ok(item.to_owned()),
        false => Err(message("ALLOWED_HOSTS", rule, item)),
    };
    list(text).map(name).collect()
}

fn admin(text: &str) -> Result<SocketAddr, String> {
    let rule = "must be an IP address and a port such as 127.0.0.1:9100";
    text.parse().map_err(|_| message("ADMIN_BIND", rule, text))
}

fn peers(text: &str) -> Result<Vec<Uri>, String> {
    let is_base = |uri: &Uri| {
        uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none()
    };
    let rule = "must be a list of base URLs such as http://127.0.0.1:3000";
    let base =
        |item: &str| item.parse().ok().filter(is_base).ok_or_else(|| message("PEERS", rule, item));
    list(text).map(base).collect()
}

fn instance(variable: &str, name: String) -> Result<String, String> {
    let is_valid = name.len() <= 64 && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if !is_valid {
        return Err(message(variable, "must be at most 64 printable ASCII characters", &name));
    }
    Ok(name)
}
