//! Runs the cases of `tests/vectors.txt` against anything that must keep the contract.

use super::{Action, Case, Connection, Held, Reply, Request, Step};

/// Something that decides. Each case has one key.
pub trait Subject {
    fn plant(&mut self, now_micros: i64, held: Option<&Held>);
    fn send(&mut self, now_micros: i64, request: &Request) -> Reply;
    fn held(&mut self) -> Option<Held>;
    /// Whether a key disappears by itself at its expiry.
    fn expires(&self) -> bool;
}

/// Runs all cases. Fails with the first wrong step of every case that has one.
#[track_caller]
pub fn replay(subject: &mut impl Subject, cases: &[Case]) {
    assert!(!cases.is_empty(), "no case to run");
    let failures: Vec<_> = cases.iter().filter_map(|case| first_failure(subject, case)).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn first_failure(subject: &mut impl Subject, case: &Case) -> Option<String> {
    let mut expected = None;
    subject.plant(case.steps[0].now_micros, None);
    case.steps.iter().find_map(|step| {
        let difference = match &step.action {
            Action::Plant(held) => {
                subject.plant(step.now_micros, held.as_ref());
                expected = held.clone();
                None
            }
            Action::Send(request) => difference(subject, step, request, &mut expected),
        };
        difference.map(|difference| {
            let Step { line, text, .. } = step;
            format!("tests/vectors.txt:{line}: {}\n  step      {text}\n{difference}", case.title)
        })
    })
}

/// The expected and the actual reply and state, if they differ. `expected` is what the key holds.
fn difference(
    subject: &mut impl Subject,
    step: &Step,
    request: &Request,
    expected: &mut Option<Held>,
) -> Option<String> {
    let reply = subject.send(step.now_micros, request);
    let held = subject.held();
    if request.leaves.is_some() {
        expected.clone_from(&request.leaves);
    }
    let end_ms = expected.as_ref().and_then(|held| held.expiry_ms);
    let is_over = end_ms.is_some_and(|end_ms| end_ms <= step.now_micros.div_euclid(1000));
    let is_gone = held.is_none() && is_over && subject.expires();
    if reply == request.expected && (held == *expected || is_gone) {
        return None;
    }
    let show =
        |reply, held: &Option<_>| format!("{}, leaving {}", show_reply(reply), show_held(held));
    let (wanted, got) = (show(&request.expected, expected), show(&reply, &held));
    Some(format!("  expected  {wanted}\n  got       {got}"))
}

fn show_reply(reply: &Reply) -> String {
    match reply {
        Reply::Integer(n) => n.to_string(),
        Reply::Array(items) => items.iter().map(show_item).collect::<Vec<_>>().join(" "),
        Reply::Error(text) => format!("error \"{text}\""),
        other => format!("{other:?}"),
    }
}

/// The numbers of a pair are in brackets, as in the file.
fn show_item(item: &Reply) -> String {
    match item {
        Reply::Array(pairs) if matches!(pairs[..], [Reply::Array(_), ..]) => show_reply(item),
        Reply::Array(_) => format!("[{}]", show_reply(item)),
        _ => show_reply(item),
    }
}

fn show_held(held: &Option<Held>) -> String {
    let Some(Held { value, expiry_ms }) = held else { return "no key".to_owned() };
    let end = expiry_ms.map_or("for ever".to_owned(), |end_ms| format!("until {end_ms}"));
    format!("\"{}\" {end}", value.escape_ascii())
}

/// What the key `k` holds on a server.
impl Held {
    #[track_caller]
    pub fn on(connection: &mut Connection) -> Option<Self> {
        let replies = connection.pipeline(&["GET k", "PEXPIRETIME k"]);
        let [value, end_ms] = &replies[..] else { panic!("two replies: {replies:?}") };
        let expiry_ms = Some(end_ms.integer()).filter(|&end_ms| end_ms != -1);
        (*value != Reply::Nil).then(|| Self { value: value.bytes().to_vec(), expiry_ms })
    }

    /// `None`: no key.
    #[track_caller]
    pub fn plant(held: Option<&Self>, connection: &mut Connection) {
        connection.must("DEL k");
        let Some(Self { value, expiry_ms }) = held else { return };
        let mut call: Vec<&[u8]> = vec![b"SET", b"k", value];
        let end = expiry_ms.map(|end_ms| end_ms.to_string());
        call.extend(end.iter().flat_map(|end| [b"PXAT", end.as_bytes()]));
        assert_eq!(connection.call(&call).text(), "OK");
    }
}
