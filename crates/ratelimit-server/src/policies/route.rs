//! The route of a policy: one path, all paths below one, or everything.

use super::path::RequestPath;

/// Which paths a policy covers.
#[derive(Debug)]
pub(super) struct Route {
    /// As the file has it.
    text: String,
    path: String,
    kind: Kind,
    /// Case, a trailing slash or space, and path parameters matter.
    is_exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `/login`
    Exactly,
    /// `/api/*`: `/api/` and all below.
    Below,
    /// `*`
    Everything,
}

impl Route {
    pub(super) const MESSAGE: &str =
        "must be a path such as /login, a path with all below it such as /api/*, or *";

    pub(super) fn everything() -> Self {
        Self { text: "*".to_owned(), path: String::new(), kind: Kind::Everything, is_exact: true }
    }

    pub(super) fn parse(text: &str, is_exact: bool) -> Option<Self> {
        if text == "*" {
            return Some(Self::everything());
        }
        let (path, kind) = match text.strip_suffix('*') {
            Some(path) => (path, Kind::Below),
            None => (text, Kind::Exactly),
        };
        let is_path = path.starts_with('/') && !path.contains(['*', '?', '#']);
        let is_good = is_path && (kind == Kind::Exactly || path.ends_with('/'));
        let (text, path) = (text.to_owned(), as_compared(path, is_exact));
        is_good.then_some(Self { text, path, kind, is_exact })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn covers(&self, path: &RequestPath) -> bool {
        match (self.kind, self.is_exact) {
            (Kind::Everything, _) => true,
            (Kind::Exactly, true) => path.normal == self.path,
            (Kind::Below, true) => path.normal.starts_with(&self.path),
            (_, false) => path.readings().any(|reading| self.covers_reading(reading)),
        }
    }

    fn covers_reading(&self, reading: &str) -> bool {
        let Some((start, rest)) = reading.split_at_checked(self.path.len()) else { return false };
        let is_inside = rest.is_empty() || self.kind == Kind::Below && rest.starts_with('/');
        is_inside && start.eq_ignore_ascii_case(&self.path)
    }
}

/// A route is read as the path of a request is, so that no spelling of it matches nothing.
fn as_compared(route: &str, is_exact: bool) -> String {
    let read = RequestPath::new(route);
    if is_exact {
        return read.normal.into_owned();
    }
    let last = read.readings().last();
    last.unwrap_or(route).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(route: &str, is_exact: bool, path: &str) -> bool {
        Route::parse(route, is_exact).expect("a route").covers(&RequestPath::new(path))
    }

    #[test]
    fn every_path_that_a_framework_takes_for_the_route_is_covered() {
        let spellings = [
            "/login",
            "/login/",
            "/login//",
            "/LOGIN",
            "/Login;x=1",
            "/login;",
            "/login;x=1/",
            "/login%20",
            "/login%20/",
            "/login%09",
            "/login%0a",
            "/login%00",
            "/x/..;/login",
            "/x/..;a=b/login;c",
            "/;/login",
            "/a;b/../login",
            "/%4cogin",
            "//login",
            "/./login",
            "/login%3bx",
            "/x\\..\\login",
            "/%5clogin",
            "/login%2f",
        ];
        for path in spellings {
            assert!(covers("/login", false, path), "{path}");
            assert!(covers("/Login/", false, path), "{path}");
            assert!(covers("/*", false, path) && covers("*", false, path), "{path}");
        }
        for path in ["/", "/log", "/login2", "/login/x", "/x/login", "/login%2520", "/ login"] {
            assert!(!covers("/login", false, path), "{path}");
        }
    }

    #[test]
    fn below_a_folder_is_whatever_either_reading_finds_there() {
        for path in
            ["/api/", "/api", "/API/x", "/api;v=1/x", "/x/..;/api/x", "/api/..;/other", "/api%20"]
        {
            assert!(covers("/api/*", false, path), "{path}");
        }
        for path in ["/apix", "/", "/x/api/", "/api/../other"] {
            assert!(!covers("/api/*", false, path), "{path}");
        }
        assert!(
            covers("/caf%C3%A9/*", false, "/CAF%C3%89/x") && covers("/CAFÉ/*", false, "/café/x")
        );
    }

    #[test]
    fn exact_paths_differ_by_case_end_and_parameters() {
        assert!(covers("/login", true, "/login") && covers("/login", true, "/x/..//%6cogin"));
        for path in ["/login/", "/LOGIN", "/login;x=1", "/login%20", "/x/..;/login"] {
            assert!(!covers("/login", true, path), "{path}");
        }
        assert!(covers("/api/*", true, "/api/") && !covers("/api/*", true, "/api"));
    }

    #[test]
    fn a_route_is_a_path_or_a_folder_or_everything() {
        for text in ["", "login", "/a*", "/*/b", "/a/*/*", "/a?b", "/a#b", "**"] {
            assert!(Route::parse(text, false).is_none(), "{text:?}");
        }
    }
}
