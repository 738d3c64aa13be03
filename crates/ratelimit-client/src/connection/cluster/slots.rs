//! Which key of a command decides where it goes, and which of the 16,384 slots the key is in.

use redis::{Arg, Cmd};

pub(super) const SLOTS: u16 = 16_384;

/// The slot of a command's first key; `None` for a command without a key, which any node can run.
pub(super) fn slot(command: &Cmd) -> Option<u16> {
    let mut words = command.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        _ => b"".as_slice(),
    });
    let name = words.next()?;
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let key = if ["EVAL", "EVALSHA"].into_iter().any(is) {
        // The script, the number of keys, the keys.
        words.nth(1).filter(|number| *number != b"0")?;
        words.next()?
    } else if ["PING", "SCRIPT", "INFO", "CLUSTER"].into_iter().any(is) {
        return None;
    } else {
        words.next()?
    };
    Some(slot_of(key))
}

fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// What stands between the first `{` and the next `}`, if that is not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')? + 1;
    let length = key[open..].iter().position(|byte| *byte == b'}')?;
    (length > 0).then(|| &key[open..open + length])
}

/// CRC-16/XMODEM, as the specification of Redis Cluster says.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut i: u16 = 0;
    while i < 256 {
        let mut crc = i << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[i as usize] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_from_the_hash_tag_or_the_whole_key() {
        // From the specification, and from CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (key, slot) in [("", 0), ("foo", 12_182), ("{user1000}.following", 3_443)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
    }

    #[test]
    fn the_first_key_decides() {
        let command = |words: &str| words.split(' ').fold(Cmd::new(), |mut c, w| c.arg(w).take());
        let of_foo = Some(12_182);
        let cases = [
            ("RATELIMIT.CHECK foo 5 60", of_foo),
            ("ratelimit.peek foo 5 60", of_foo),
            ("DEL foo", of_foo),
            ("EVALSHA digest 1 foo CHECK 5 60", of_foo),
            ("eval text 1 foo", of_foo),
            ("EVAL text 0 foo", None),
            ("EVAL text", None),
            ("PING", None),
            ("PING foo", None),
            ("SCRIPT LOAD text", None),
        ];
        for (words, expected) in cases {
            assert_eq!(slot(&command(words)), expected, "{words}");
        }
        assert_eq!(slot(&Cmd::new()), None);
    }
}
