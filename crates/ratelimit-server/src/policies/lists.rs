//! The keys that a policy does not limit, and those that it always denies.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::key_by::KeyBy;

const MAX_ENTRIES: usize = 10_000;
const NETWORKS: &str = "must be a list of addresses and networks such as 10.0.0.0/8, 2001:db8::/32";
const VALUES: &str = "must be a list of values as the log shows them, without their kind";

/// What the lists of a policy say of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// The policy counts it.
    No,
    Exempt,
    Blocked,
}

/// Keys of one kind.
#[derive(Clone, Debug)]
pub(super) struct KeyList {
    networks: Vec<IpNet>,
    values: HashSet<String>,
}

impl KeyList {
    /// `Err`: the rule.
    pub(super) fn parse(entries: &[String], by: &KeyBy) -> Result<Self, String> {
        if entries.len() > MAX_ENTRIES {
            return Err(format!("must have at most {MAX_ENTRIES} entries"));
        }
        let mut list = Self { networks: Vec::new(), values: HashSet::new() };
        for entry in entries {
            match by.kind() {
                None => list.networks.push(network(entry).ok_or(NETWORKS)?),
                Some(kind) => {
                    list.values.insert(format!("{kind}:{}", value(entry).ok_or(VALUES)?));
                }
            }
        }
        Ok(list)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.values.is_empty()
    }

    /// `client` is given if the value is its address.
    pub(super) fn has(&self, value: &str, client: Option<IpAddr>) -> bool {
        match client {
            Some(client) => self.networks.iter().any(|network| network.contains(&client)),
            None => self.values.contains(value),
        }
    }
}

fn value(entry: &str) -> Option<&str> {
    let is_printable = entry.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    (is_printable && !entry.is_empty()).then_some(entry)
}

/// An address stands for the network of that address alone.
fn network(entry: &str) -> Option<IpNet> {
    match entry.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().into()),
        Err(_) => entry.parse().ok(),
    }
}
