//! The two text formats of metrics. The library writes OpenMetrics; a program that does not ask for
//! it gets the older format of Prometheus, made of the same text.

use std::collections::HashSet;

pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a field `Accept` names OpenMetrics 1.0.0, and not the older format before it.
pub(crate) fn wants_openmetrics(accept: &str) -> bool {
    let quality = |name: &str| {
        let of_name = accept.split(',').filter_map(|item| quality(item, name));
        of_name.fold(0.0, f32::max)
    };
    let openmetrics = quality("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= quality("text/plain")
}

/// The weight of one item of `Accept`, if it is of this type, in a version that is written here.
fn quality(item: &str, name: &str) -> Option<f32> {
    let mut words = item.split(';').map(str::trim);
    if !words.next()?.eq_ignore_ascii_case(name) {
        return None;
    }
    let mut quality = 1.0;
    for word in words {
        match word.split_once('=') {
            Some(("q", weight)) => quality = weight.parse().ok()?,
            Some(("version", version)) if version != "1.0.0" && version != "0.0.4" => return None,
            _ => {}
        }
    }
    Some(quality)
}

/// OpenMetrics as the format 0.0.4. There a counter is named with `_total` in its comments too, and
/// there are no units and no end.
pub(crate) fn to_plain(openmetrics: &str) -> String {
    let kinds = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: HashSet<_> = kinds.filter_map(|line| line.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(openmetrics.len() + 1024);
    for line in openmetrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match [words.next(), words.next(), words.next(), words.next()] {
            [Some("#"), Some(comment), Some(name), Some(rest)] if counters.contains(name) => {
                plain.extend(["# ", comment, " ", name, "_total ", rest]);
            }
            _ => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_must_be_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0", true),
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("text/html,application/xhtml+xml", false),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("text/plain;q=0.9,application/openmetrics-text;q=0.5", false),
        ] {
            assert_eq!(wants_openmetrics(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn only_the_comments_change() {
        let openmetrics = "# HELP a Of a.\n# TYPE a counter\na_total{k=\"# TYPE a counter\"} 1\n\
            # HELP b_seconds Of b.\n# TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 2\n\
            # EOF\n";
        let plain =
            "# HELP a_total Of a.\n# TYPE a_total counter\na_total{k=\"# TYPE a counter\"} 1\n\
            # HELP b_seconds Of b.\n# TYPE b_seconds gauge\nb_seconds 2\n";
        assert_eq!(to_plain(openmetrics), plain);
    }
}
