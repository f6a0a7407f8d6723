//! `GET /health`: 200 while all is well, else 503, with the same words as the log.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::status::Status;

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, status: Arc<Status>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: the next one may have more luck.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let status = Arc::clone(&status);
        tokio::spawn(async move {
            let answer = |request| std::future::ready(Ok::<_, Infallible>(answer(&request, &status)));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // Who asks and does not wait for the answer has no claim to more.
            let _ = connection.await;
        });
    }
}

fn answer(request: &Request<Incoming>, status: &Status) -> Response<Full<Bytes>> {
    let (code, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/health") => {
            let (good, health) = status.health();
            (if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, format!("{health}\n"))
        }
        _ => (StatusCode::NOT_FOUND, "{\"error\":\"there is /health, and nothing else\"}\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
