//! What pages are made of, inside the binary: nothing is fetched from elsewhere.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const ALL: [(&str, &str, &str); 4] = [
    ("app.js", SCRIPT, include_str!("../../assets/app.js")),
    ("htmx.js", SCRIPT, include_str!("../../assets/htmx-4.0.1.min.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    ("style.css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
];
/// The address of an asset carries the version: another version is another address.
const CACHED: &str = "private, max-age=86400";

pub(super) async fn one(Path(name): Path<String>) -> Response {
    match ALL.into_iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => {
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, CACHED)], text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    /// A library that is carried along is the one that was looked at: htmx.org 4.0.1, dist/htmx.min.js.
    #[test]
    fn the_library_is_the_one_that_was_published() {
        let text = include_str!("../../assets/htmx-4.0.1.min.js");
        let digest = hex::encode(Sha256::digest(text.as_bytes()));
        assert_eq!(digest, "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130");
    }
}
