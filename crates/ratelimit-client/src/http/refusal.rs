//! The response to a request that does not pass.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, CONTENT_TYPE};
use http::request::Parts;
use http::{Response, StatusCode};

use super::{fields, NoKey, Rule};
use crate::{Answer, Error, Retry};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const UNCHECKED: &str = "the rate limit could not be checked";
const NO_PEER: &str = "the address of the client is not known";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why a request does not pass.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// The limiter denied it.
    Denied(&'a Answer),
    /// The limiter has no answer. The error is not shown to the client. The response carries it as
    /// an extension, `Arc<Error>`, for a layer that writes logs.
    Unavailable(&'a Error),
    /// The request has no key, so nothing was checked. The response carries the [`NoKey`] as an
    /// extension.
    NoKey(&'a NoKey),
}

/// A request that does not pass.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// The request, without its body.
    pub request: &'a Parts,
    /// The rule that it was checked against.
    pub rule: &'a Rule,
    /// The reason.
    pub reason: Reason<'a>,
}

impl Refusal<'_> {
    /// [`Refusal::status`] with a body of `application/problem+json` (RFC 9457). A denial has the
    /// type `quota-exceeded` of the draft, and names the pairs that deny as the header fields do:
    ///
    /// ```json
    /// {"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,"violated-policies":["api"]}
    /// ```
    ///
    /// A 503 has no `Retry-After`, because nobody knows when the server will be back.
    ///
    /// A gRPC call (`application/grpc`) gets HTTP 200 with `grpc-status` 8 (RESOURCE_EXHAUSTED) or
    /// 14 (UNAVAILABLE), and without a key 3 (INVALID_ARGUMENT) or 13 (INTERNAL). A plain 429 would
    /// reach a gRPC client as UNAVAILABLE, and the client would try again at once.
    pub fn to_response(&self) -> Response<Bytes> {
        if is_grpc(&self.request.headers) {
            return self.to_grpc();
        }
        let mut response = Response::new(Bytes::from(self.problem()));
        *response.status_mut() = self.status();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, problem);
        response
    }

    /// 429 if denied, 503 if the limiter has no answer. Without a key 400, the client's mistake, or
    /// 500 where the program's HTTP server gave no address of the connection.
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Denied(_) => StatusCode::TOO_MANY_REQUESTS,
            Reason::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NoKey(NoKey::NoPeer) => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::NoKey(NoKey::Missing { .. } | NoKey::TwoLines { .. }) => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    fn problem(&self) -> String {
        match self.reason {
            Reason::Denied(answer) => self.denial(answer),
            Reason::Unavailable(_) => self.plain_problem(UNCHECKED),
            Reason::NoKey(NoKey::NoPeer) => self.plain_problem(NO_PEER),
            Reason::NoKey(no_key) => self.plain_problem(&no_key.to_string()),
        }
    }

    fn plain_problem(&self, detail: &str) -> String {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        // The kind of a key may be any text of the program.
        let detail = detail.replace(|c: char| c.is_control() || matches!(c, '"' | '\\'), "?");
        format!(r#"{{"title":"{title}","status":{},"detail":"{detail}"}}"#, status.as_u16())
    }

    fn denial(&self, answer: &Answer) -> String {
        let violated = fields::violated(&self.rule.name, &self.rule.policy, answer);
        let detail = match answer.retry() {
            Retry::Never => r#""detail":"its cost is above the limit: it can never pass","#,
            Retry::After(_) | Retry::Now => "",
        };
        format!(
            r#"{{"type":"{QUOTA_EXCEEDED}","title":"Request cannot be satisfied as assigned quota has been exceeded","status":429,{detail}"violated-policies":[{violated}]}}"#
        )
    }

    fn to_grpc(self) -> Response<Bytes> {
        let (status, message) = match self.reason {
            Reason::Denied(_) => ("8", "rate limit exceeded"),
            Reason::Unavailable(_) => ("14", UNCHECKED),
            Reason::NoKey(NoKey::NoPeer) => ("13", NO_PEER),
            Reason::NoKey(NoKey::Missing { .. }) => ("3", "the call has no key for its rate limit"),
            Reason::NoKey(NoKey::TwoLines { .. }) => ("3", "the call has more than one key"),
        };
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
        response
    }
}

/// Accepts `application/grpc` and `application/grpc+proto`, but not `application/grpc-web`: tonic's
/// own layer translates that before it comes here.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let rest = value.strip_prefix(GRPC.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    #[test]
    fn a_kind_of_any_text_keeps_the_problem_valid() {
        let (request, ()) = http::Request::new(()).into_parts();
        let rule = Rule::new("api", Policy::fixed(1, std::time::Duration::from_secs(1)));
        let no_key = NoKey::Missing { kind: "a\"b\\c\nd é".into() };
        let reason = Reason::NoKey(&no_key);
        let response = Refusal { request: &request, rule: &rule, reason }.to_response();
        let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["detail"], "the request has no a?b?c?d é");
    }

    #[test]
    fn a_grpc_call_is_known_by_its_content_type() {
        let cases = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
