//! Whether a request may go on: every policy that applies to it must allow.

use axum::http::HeaderMap;
use ratelimit_client::http::fields;
use ratelimit_client::{Call, Error};

use crate::app::App;
use crate::policies::Applied;

/// Fields of an answer, those of the content with them.
const FIELDS: usize = 8;

/// What came of it, with the fields of the answer.
pub(crate) enum Verdict {
    Allowed(HeaderMap),
    Denied(HeaderMap),
    /// Nobody could decide, and nothing is to pass undecided.
    Failed(Error),
}

/// In the order of the policies; the first denial ends it, and what those before it have counted
/// stays counted.
pub(crate) async fn decide(app: &App, applied: &[Applied]) -> Verdict {
    let mut headers = HeaderMap::with_capacity(FIELDS);
    for Applied { rule, key } in applied {
        let call = Call::new(key, &rule.policy);
        match app.check(call, key, &rule.name, &rule.decisions).await {
            Err(error) => return Verdict::Failed(error),
            Ok(answer) => {
                fields::add(&mut headers, &rule.name, &rule.policy, &answer);
                if !answer.is_allowed() {
                    return Verdict::Denied(headers);
                }
            }
        }
    }
    Verdict::Allowed(headers)
}
