//! The live page under `/dashboard`. Its first view starts simulated clients that send requests to the
//! service itself, and shows their results; its second view shows what the service does now. The page
//! loads nothing from another site.

mod board;
mod instances;
mod now;
mod origin;
mod parameters;
mod simulation;
mod traffic;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{header, HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::sync::{mpsc, OwnedSemaphorePermit, Semaphore};

use instances::Instances;
use now::Now;
use parameters::{ParameterWords, Parameters};
use simulation::{Event, Position};

use crate::app::App;
use crate::http::body;
use crate::http::problem::Problem;

/// How many simulations one instance runs at a time.
const MAX_SIMULATIONS: usize = 8;
/// How long the body that starts a simulation may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How many events wait for a slow page.
const MAX_WAITING_EVENTS: usize = 4;

/// What the endpoints of the page need; cheap to clone.
#[derive(Clone)]
pub(crate) struct Page {
    app: Arc<App>,
    instances: Instances,
    free: Arc<Semaphore>,
}

impl Page {
    /// Simulations send their requests to these instances in turn, by base URLs such as
    /// `http://127.0.0.1:3000`, until the app stops.
    pub(crate) fn new(app: Arc<App>, instances: &[Uri]) -> Self {
        let free = Arc::new(Semaphore::new(MAX_SIMULATIONS));
        Self { app, instances: Instances::new(instances), free }
    }

    /// How many simulations are running.
    pub(crate) fn running(&self) -> usize {
        MAX_SIMULATIONS - self.free.available_permits()
    }

    /// `/dashboard` and everything below it.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/dashboard", get(|| file(HTML, include_str!("static/index.html"))))
            .route("/dashboard/page.css", get(|| file(CSS, include_str!("static/page.css"))))
            .route("/dashboard/page.js", get(|| file(JS, include_str!("static/page.js"))))
            .route("/dashboard/chart.js", get(|| file(JS, include_str!("static/chart.js"))))
            .route("/dashboard/stream.js", get(|| file(JS, include_str!("static/stream.js"))))
            .route("/dashboard/watch.js", get(|| file(JS, include_str!("static/watch.js"))))
            .route("/dashboard/now.js", get(|| file(JS, include_str!("static/now.js"))))
            .route("/dashboard/simulation", post(simulate))
            .route("/dashboard/simulations", get(count))
            .route("/dashboard/now", get(now))
            .route("/dashboard/now/instance", get(now_here))
            .with_state(self)
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

async fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    let policy = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let fields: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (fields, text)
}

async fn count(State(page): State<Page>) -> Json<serde_json::Value> {
    Json(json!({ "running": page.running(), "most": MAX_SIMULATIONS }))
}

/// What this instance does now.
async fn now_here(State(page): State<Page>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(Now::of(&page.app)))
}

/// What each instance does now, this one and its peers. `now` is null for one that does not answer.
async fn now(State(page): State<Page>) -> impl IntoResponse {
    let instances = page.instances.now().await.into_iter();
    let instances = instances.map(|(address, now)| json!({ "address": address, "now": now }));
    let instances = instances.collect::<Vec<_>>();
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "instances": instances })))
}

/// Runs a simulation for as long as its stream of events is open.
///
/// The body must be JSON, and a browser sends JSON to another site only after that site has agreed,
/// which this service never does. So no page of another site can start a simulation.
async fn simulate(State(page): State<Page>, headers: HeaderMap, body: Body) -> Response {
    if origin::is_foreign(&headers) {
        return refuse(StatusCode::FORBIDDEN, origin::MESSAGE);
    }
    let words = body::read::<ParameterWords>(&headers, body, BODY_DEADLINE, &page.app.bodies).await;
    let parameters = match words.and_then(|(words, _)| Ok(words.validate()?)) {
        Ok(parameters) => parameters,
        Err(problem) => return problem.response(),
    };
    let Ok(permit) = page.free.clone().try_acquire_owned() else {
        let why =
            format!("{MAX_SIMULATIONS} simulations are running, the maximum; try again later");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let position = last_id.and_then(Position::parse).unwrap_or_else(Position::start);
    let (sender, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
    tokio::spawn(run(page, parameters, position.clone(), sender, permit));
    let fields =
        [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    (fields, Sse::new(stream_of(receiver, position))).into_response()
}

/// Holds the permit while it runs. A process that is to end does not wait for it.
async fn run(
    page: Page,
    parameters: Parameters,
    position: Position,
    events: mpsc::Sender<Event>,
    _permit: OwnedSemaphorePermit,
) {
    let mut stopping = page.app.stopping.clone();
    tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = simulation::run(parameters, position, page.instances, events) => {}
    }
}

fn stream_of(
    receiver: mpsc::Receiver<Event>,
    position: Position,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold((receiver, position), |(mut receiver, position)| async move {
        let event = receiver.recv().await?;
        let sent = to_sse(&event, &position);
        Some((Ok(sent), (receiver, position)))
    })
}

fn to_sse(event: &Event, position: &Position) -> sse::Event {
    let sent = sse::Event::default().event(event.name());
    let sent = match event {
        Event::Tick(tick) => sent.id(position.id(tick.at_ms)),
        Event::Start { .. } | Event::End {} => sent,
    };
    sent.json_data(event).expect("numbers and names are JSON")
}

fn refuse(status: StatusCode, why: &str) -> Response {
    Problem::new(status, why).response()
}

#[cfg(test)]
mod tests {
    use ratelimit_client::Algorithm;

    use super::parameters::page_name;

    #[test]
    fn the_form_offers_each_algorithm() {
        let html = include_str!("static/index.html");
        let values = html.split("name=\"algorithms\" value=\"").skip(1);
        let values: Vec<_> = values.filter_map(|rest| rest.split('"').next()).collect();
        let names = Algorithm::ALL.iter().map(|algorithm| page_name(*algorithm));
        assert_eq!(values, names.collect::<Vec<_>>());
    }
}
