//! `GET /metrics`, the same in every shell.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};

use super::CONTENT_TYPE;
use crate::refusal::Refusal;

/// What is answered to `method` on the path of the metrics, which are `text`. HEAD has no body but its length
/// (RFC 9110, 9.3.2).
pub fn answer(method: &Method, text: impl Into<Bytes>) -> Response<Bytes> {
    if method != Method::GET && method != Method::HEAD {
        let (method, path) = (method.clone(), "/metrics".to_owned());
        let refusal = Refusal::WrongMethod { method, path, allow: "GET, HEAD" };
        let mut response = Response::new(refusal.to_body());
        *response.status_mut() = refusal.status();
        *response.headers_mut() = refusal.headers();
        return response;
    }
    let text = text.into();
    let length = text.len();
    let mut response = Response::new(if method == Method::HEAD { Bytes::new() } else { text });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_and_nothing_else() {
        for (method, status, body) in
            [(Method::GET, 200, "a 1"), (Method::HEAD, 200, ""), (Method::POST, 405, "Not allowed to POST")]
        {
            let answer = answer(&method, "a 1");
            assert_eq!(answer.status(), status, "{method}");
            assert!(String::from_utf8_lossy(answer.body()).contains(body), "{method}");
            let length = answer.headers().get(header::CONTENT_LENGTH).map(|length| length == "3");
            assert_eq!(length, (status == 200).then_some(true), "{method}");
        }
        assert!(answer(&Method::HEAD, "a 1").body().is_empty());
    }
}
