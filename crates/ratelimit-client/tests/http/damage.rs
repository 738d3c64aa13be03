//! Damaged headers and values of any bytes: they never panic, and never imitate another client.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use ratelimit_client::http::{KeyExtractor, TrustedProxies};
use ratelimit_harness::Random;

fn behind() -> TrustedProxies {
    TrustedProxies::behind(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
}

fn client(proxies: &TrustedProxies, name: &'static str, lines: &[&[u8]]) -> String {
    let mut headers = HeaderMap::new();
    for line in lines {
        let value = HeaderValue::from_bytes(line).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    proxies.client([10, 0, 0, 1].into(), &headers).to_string()
}

#[test]
fn damaged_headers_never_panic_nor_invent_an_address() {
    let mut random = Random(1);
    let seeds: [&[u8]; 3] = [
        b"9.9.9.9, for=8.8.8.8, \"[2001:db8::1]:80\"",
        b"for=\"[2001:db8::17]:4711\";proto=http;by=10.0.0.1, for=unknown",
        b"",
    ];
    let (x_forwarded_for, forwarded) = (behind(), behind().forwarded());
    for _ in 0..20_000 {
        let mut line = random.pick(&seeds).to_vec();
        for _ in 0..random.below(12) {
            random.damage(&mut line);
        }
        line.retain(|&byte| HeaderValue::from_bytes(&[byte]).is_ok());
        // The proxy's own element, at the right end, decides; the damage left of it does not.
        let with_proxy = [&line[..], b", 1.1.1.1"].concat();
        assert_eq!(client(&x_forwarded_for, "x-forwarded-for", &[&with_proxy]), "1.1.1.1");
        assert_eq!(client(&forwarded, "forwarded", &[&line, b"for=1.1.1.1"]), "1.1.1.1");
        client(&x_forwarded_for, "x-forwarded-for", &[&line]);
        client(&forwarded, "forwarded", &[&line]);
    }
}

#[test]
fn any_value_makes_a_short_printable_key_of_its_own() {
    const MAX_VALUE_BYTES: usize = 64;
    let mut random = Random(2);
    let mut seen = HashMap::new();
    let parts = Request::new(()).into_parts().0;
    for _ in 0..20_000 {
        let length = random.pick(&[0, 1, 2, 63, 64, 65, 1000]);
        let value: Vec<u8> = (0..length).map(|_| random.pick(b"a%#|\0\xff")).collect();
        let bytes = value.clone();
        let key = KeyExtractor::by_owned("v", move |_| Some(bytes.clone())).find(&parts).unwrap();
        assert!(key.len() <= 2 + MAX_VALUE_BYTES && key.bytes().all(|b| b.is_ascii_graphic()));
        assert_eq!(*seen.entry(key).or_insert_with(|| value.clone()), value);
    }
}
