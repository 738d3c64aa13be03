//! Which node has which slots, as the nodes tell it.

use redis::{FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::slots::SLOTS;
use crate::connection::renewed::Renewed;
use crate::connection::request::Batch;

/// The host and the port of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The primaries and their slots, by one node.
#[derive(Debug)]
pub(super) struct Map {
    /// Whether the cluster works, by this node, and the latest change that the node knows of. A node
    /// that was cut off knows less than the others.
    pub(super) rank: (bool, u64),
    pub(super) ranges: Vec<(Name, u16, u16)>,
}

impl Name {
    /// `host:port`, of which the host may be missing: then it is the host of the node that was asked.
    pub(super) fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::known(host, port.parse().ok()?, asked)
    }

    fn known(host: &str, port: u16, asked: &Self) -> Option<Self> {
        let host = match host {
            "" => &asked.host,
            "?" => return None,
            host => host,
        };
        Some(Self { host: host.to_owned(), port })
    }
}

pub(super) async fn ask(node: &Renewed, name: &Name) -> RedisResult<Map> {
    let mut question = Pipeline::with_capacity(2);
    question.cmd("CLUSTER").arg("INFO");
    question.cmd("CLUSTER").arg("SLOTS");
    let batch = Batch { pipeline: &question, offset: 0, count: 2 };
    let replies = node.send(&batch).await.map_err(RedisError::from)?;
    let [info, slots] = <[Value; 2]>::try_from(replies).map_err(|_| unreadable())?;
    let rank = info.extract_error().ok().and_then(|info| rank(&info)).unwrap_or_default();
    let ranges = match slots.extract_error()? {
        Value::Array(ranges) => {
            ranges.iter().filter_map(|range| parse_range(range, name)).collect()
        }
        _ => return Err(unreadable()),
    };
    Ok(Map { rank, ranges })
}

fn rank(info: &Value) -> Option<(bool, u64)> {
    let info = String::from_redis_value_ref(info).ok()?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let epoch = field("cluster_current_epoch:")?.parse().ok()?;
    Some((field("cluster_state:")? == "ok", epoch))
}

/// The first slot, the last slot, and the nodes: each begins with its host and port, the primary first.
fn parse_range(range: &Value, asked: &Name) -> Option<(Name, u16, u16)> {
    let Value::Array(fields) = range else { return None };
    let [first, last, Value::Array(primary), ..] = fields.as_slice() else { return None };
    let [host, port, ..] = primary.as_slice() else { return None };
    let host = Option::<String>::from_redis_value_ref(host).ok()?.unwrap_or_default();
    // A conversion to `u16` by the crate `redis` would cut a larger number.
    let number = |value| i64::from_redis_value_ref(value).ok()?.try_into().ok();
    let (first, last) = (number(first)?, number(last)?);
    let name = Name::known(&host, number(port)?, asked)?;
    (first <= last && last < SLOTS).then_some((name, first, last))
}

fn unreadable() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "a node does not tell the slots of its cluster").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Name {
        Name { host: "10.0.0.1".into(), port: 7 }
    }

    #[test]
    fn a_missing_host_is_that_of_the_node_that_was_asked() {
        let name = |host: &str, port| Some(Name { host: host.into(), port });
        for (text, expected) in [
            ("10.0.0.2:6379", name("10.0.0.2", 6379)),
            (":6380", name("10.0.0.1", 6380)),
            ("::1:6379", name("::1", 6379)),
            ("?:6379", None),
            ("h", None),
            ("h:70000", None),
        ] {
            assert_eq!(Name::parse(text, &asked()), expected, "{text}");
        }
    }

    #[test]
    fn only_ranges_in_the_known_form_are_taken() {
        let node = |host| Value::Array(vec![host, Value::Int(7)]);
        let of = |first, last, node| {
            parse_range(&Value::Array(vec![Value::Int(first), Value::Int(last), node]), &asked())
        };
        assert_eq!(of(0, 5, node(Value::Nil)), Some((asked(), 0, 5)));
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(of(0, 5, node(text(""))), Some((asked(), 0, 5)));
        assert_eq!(of(0, 5, node(text("?"))), None);
        for (first, last) in [(6, 5), (0, 16_384), (-1, 5), (0, 70_000)] {
            assert_eq!(of(first, last, node(text("h"))), None, "{first} {last}");
        }
        assert_eq!(of(0, 5, Value::Array(Vec::new())), None);
        assert_eq!(parse_range(&Value::Nil, &asked()), None);
    }
}
