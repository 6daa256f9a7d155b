//! Serves the page on loopback.
//!
//! What it must keep out are other pages in the same browser, for which loopback is no wall: one that posts to it (its
//! requests carry no token), and one that gives its own name our address to be taken for us (its requests carry that name
//! in `Host`). The token is the fleet's; the printed address hands it to the page behind a `#`, which browsers don't send.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::assets::{asset, content_type};
use super::live::{Known, LivePage};
use crate::cli;
use crate::control::TOKEN;
use crate::control::endpoint::{Desk, Endpoint};
use crate::failure::Failure;
use crate::web::{self, WebServer};

/// The longest request that is read.
const LONGEST: usize = 64 * 1024;

/// What the browser may load, and whom it may talk to: nobody else.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src \
                              'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a site shows.
pub(crate) enum Content {
    /// Finished runs: a document.
    Stored(Vec<u8>),
    /// A running fleet.
    Live {
        /// Its model.
        page: Arc<LivePage>,
        /// Where wishes go.
        desk: Desk,
        /// What a page must show.
        token: String,
    },
}

/// A site that is served; it closes when this is dropped.
pub(crate) struct Site {
    server: WebServer,
    token: Option<String>,
}

struct Inner {
    host: String,
    content: Content,
}

/// What a page asks to be done.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wish {
    /// A setting, `PATH=VALUE`.
    Set(String),
    /// A fault in words.
    Inject(String),
    /// A fault's id; empty: all.
    Stop(String),
}

/// What came of it, in words for people.
#[derive(Serialize)]
struct Answer {
    done: bool,
    text: String,
}

impl Site {
    /// Serves on a listener.
    ///
    /// # Errors
    /// If the listener has no address.
    pub(crate) fn open(listener: TcpListener, content: Content) -> Result<Site, Failure> {
        let token = match &content {
            Content::Stored(_) => None,
            Content::Live { token, .. } => Some(token.clone()),
        };
        let server = WebServer::open(listener, "the page", |address| {
            let inner = Arc::new(Inner { host: address.to_string(), content });
            Router::new().fallback(answer).with_state(inner)
        })?;
        Ok(Site { server, token })
    }

    /// Serves a running fleet's page beside its control endpoint.
    ///
    /// # Errors
    /// If there is no port to be had.
    pub(crate) async fn beside(endpoint: &Endpoint, page: Arc<LivePage>) -> Result<Site, Failure> {
        let listener = web::listen(endpoint.address().ip(), cli::PAGE_PORT).await?;
        let (desk, token) = (endpoint.desk(), endpoint.token().to_owned());
        Site::open(listener, Content::Live { page, desk, token })
    }

    /// What to open in a browser.
    pub(crate) fn address(&self) -> String {
        let token = self.token.as_ref().map(|token| format!("#token={token}"));
        format!("http://{}/{}", self.server.address(), token.unwrap_or_default())
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    match inner.respond(request).await {
        Ok(response) => response,
        Err((status, reason)) => respond(status, "text/plain; charset=utf-8", Body::from(reason)),
    }
}

/// Why a request is refused: the status, and a sentence for people.
type Refusal = (StatusCode, String);

impl Inner {
    async fn respond(&self, request: Request) -> Result<Response, Refusal> {
        self.check_host(request.headers())?;
        let path = request.uri().path().to_owned();
        let is_get = request.method() == Method::GET;
        if let Some(name) = path.strip_prefix("/api/") {
            self.check_token(request.headers())?;
            return match name {
                "document" if is_get => self.document(),
                "since" if is_get => self.since(request.uri().query().unwrap_or_default()),
                "wish" if request.method() == Method::POST => self.wish(request).await,
                _ => Err((StatusCode::NOT_FOUND, format!("there is no {path}"))),
            };
        }
        if !is_get {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "the page is only read".to_owned()));
        }
        let asset = asset(path.trim_start_matches('/'));
        let asset = asset.ok_or_else(|| (StatusCode::NOT_FOUND, format!("there is no {path}")))?;
        Ok(respond(StatusCode::OK, content_type(asset.name), Body::from(asset.text().into_owned())))
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let ours = format!("http://{}", self.host);
        let host = text(header::HOST) == Some(&self.host);
        let origin = text(header::ORIGIN).is_none_or(|origin| origin == ours);
        if host && origin {
            return Ok(());
        }
        Err((StatusCode::FORBIDDEN, format!("this is {ours}, and it answers nobody who calls it otherwise")))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Content::Live { token, .. } = &self.content else { return Ok(()) };
        let shown = headers.get(TOKEN).map(HeaderValue::as_bytes);
        if shown == Some(token.as_bytes()) {
            return Ok(());
        }
        let cure = "the page must show the fleet's token; open the whole address that `eastfall up` printed";
        Err((StatusCode::UNAUTHORIZED, cure.to_owned()))
    }

    fn document(&self) -> Result<Response, Refusal> {
        match &self.content {
            Content::Stored(document) => Ok(json(document.clone())),
            Content::Live { page, .. } => page.document().map(json).map_err(broken),
        }
    }

    fn since(&self, query: &str) -> Result<Response, Refusal> {
        let Content::Live { page, .. } = &self.content else {
            return Err((StatusCode::NOT_FOUND, "a finished run has no news".to_owned()));
        };
        let known = known(query).ok_or_else(|| {
            (StatusCode::BAD_REQUEST, format!("{query}: write rows=N&events=N&latencies=N&policies=N"))
        })?;
        page.news(known).map(json).map_err(broken)
    }

    async fn wish(&self, request: Request) -> Result<Response, Refusal> {
        let Content::Live { desk, .. } = &self.content else {
            return Err((StatusCode::CONFLICT, "the run is over; nothing of it can be changed".to_owned()));
        };
        let body = to_bytes(request.into_body(), LONGEST).await;
        let body = body.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let wish = serde_json::from_slice(&body);
        let wish = wish.map_err(|error| (StatusCode::BAD_REQUEST, format!("no wish of ours: {error}")))?;
        let done = match wish {
            Wish::Set(setting) => {
                let count = desk.set(&setting).await;
                count.map(|count| format!("{setting}: in force in {count} instances"))
            }
            Wish::Inject(fault) => desk.inject(&fault).await.map(|id| format!("{id}: {fault}")),
            Wish::Stop(id) => desk.stop(&id).await.map(|count| format!("{count} stopped")),
        };
        // A wish that breaks a rule is heard all the same, and told which, in the words of the command line.
        let (done, text) = match done {
            Ok(text) => (true, text),
            Err(reason) => (false, reason),
        };
        serde_json::to_vec(&Answer { done, text }).map(json).map_err(broken)
    }
}

fn known(query: &str) -> Option<Known> {
    let mut known = Known::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = value.parse().ok()?;
        match name {
            "rows" => known.rows = value,
            "events" => known.events = value,
            "latencies" => known.latencies = value,
            "policies" => known.policies = value,
            _ => return None,
        }
    }
    Some(known)
}

fn broken(error: serde_json::Error) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn json(text: Vec<u8>) -> Response {
    respond(StatusCode::OK, "application/json", Body::from(text))
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status and the body that a site of a finished run answers with.
    fn ask(method: Method, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let site = Inner { host: "127.0.0.1:7480".to_owned(), content: Content::Stored(b"{}".to_vec()) };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from("{\"stop\": \"\"}")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            match site.respond(request).await {
                Ok(response) => {
                    let status = response.status();
                    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
                    (status, String::from_utf8(body.to_vec()).unwrap())
                }
                Err(refusal) => refusal,
            }
        })
    }

    const OURS: (&str, &str) = ("host", "127.0.0.1:7480");

    #[test]
    fn the_page_its_files_and_its_data_are_served() {
        for (path, part) in [("/", "<div id=\"app\">"), ("/main.js", "import"), ("/api/document", "{}")] {
            let (status, body) = ask(Method::GET, path, &[OURS]);
            assert!(status == StatusCode::OK && body.contains(part), "{path}: {status} {body}");
        }
        assert_eq!(ask(Method::GET, "/../Cargo.toml", &[OURS]).0, StatusCode::NOT_FOUND, "nothing else is");
    }

    #[test]
    fn other_names_and_other_pages_are_refused() {
        for headers in [
            &[("host", "attacker.example:7480")][..],
            &[],
            &[OURS, ("origin", "http://attacker.example")],
            &[OURS, ("origin", "null")],
        ] {
            for path in ["/", "/api/document"] {
                let (status, _) = ask(Method::GET, path, headers);
                assert_eq!(status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            }
        }
        let own_page = [OURS, ("origin", "http://127.0.0.1:7480")];
        assert_eq!(ask(Method::GET, "/", &own_page).0, StatusCode::OK, "its own page is not another one");
    }

    #[test]
    fn a_finished_run_has_no_news_and_takes_no_wishes() {
        assert_eq!(ask(Method::GET, "/api/since", &[OURS]).0, StatusCode::NOT_FOUND);
        let (status, reason) = ask(Method::POST, "/api/wish", &[OURS]);
        assert_eq!((status, reason.contains("the run is over")), (StatusCode::CONFLICT, true), "{reason}");
        assert_eq!(ask(Method::POST, "/", &[OURS]).0, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn a_query_says_what_is_known_or_is_refused() {
        let all = Known { rows: 3, events: 4, latencies: 5, policies: 6 };
        assert_eq!(known("rows=3&events=4&latencies=5&policies=6"), Some(all));
        assert_eq!(known(""), Some(Known::default()));
        for wrong in ["rows=x", "rows", "lines=3", "rows=-1"] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
    }
}
