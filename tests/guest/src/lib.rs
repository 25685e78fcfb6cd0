//! What a host has to bear, by path.

use std::time::Duration;

use futures::SinkExt as _;
use spin_sdk::http::{Headers, IncomingRequest, OutgoingResponse, Request, ResponseOutparam};
use spin_sdk::{http_component, redis, variables};

/// Bytes that are asked for at a time.
const MORE: usize = 1 << 20;

/// For what was written to reach the client.
const PAUSE: Duration = Duration::from_millis(200);

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let path = request.path_with_query().unwrap_or_default();
    match path.split_once('?').unwrap_or((&path, "")) {
        ("/trap", _) => panic!("before the head"),
        ("/trap-in-stream", _) => {
            let mut body = begin(out);
            let _ = body.send(b"begun".to_vec()).await;
            // The host sends what it has when it has nothing else to do.
            std::thread::sleep(PAUSE);
            panic!("in the stream");
        }
        ("/trap-after-stream", _) => {
            let mut body = begin(out);
            let _ = body.send(b"whole".to_vec()).await;
            drop(body);
            panic!("after the stream");
        }
        ("/loop", _) => loop {
            std::hint::spin_loop();
        },
        ("/allocate", _) => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; MORE]);
                std::hint::black_box(&held);
            }
        }
        ("/fetch", url) => {
            let request = Request::get(url).build();
            let sent: Result<spin_sdk::http::Response, _> = spin_sdk::http::send(request).await;
            let said = match sent {
                Ok(response) => format!("{}", response.status()),
                Err(error) => format!("{error:?}"),
            };
            say(out, said).await;
        }
        ("/redis", address) => {
            let said = match redis::Connection::open(address) {
                Ok(connection) => format!("{:?}", connection.execute("PING", &[])),
                Err(error) => format!("{error:?}"),
            };
            say(out, said).await;
        }
        ("/variable", name) => {
            let said = variables::get(name).unwrap_or_else(|error| format!("{error:?}"));
            say(out, said).await;
        }
        ("/print", line) => {
            println!("{line}");
            say(out, "printed".to_owned()).await;
        }
        _ => say(out, "hello".to_owned()).await,
    }
}

fn begin(out: ResponseOutparam) -> impl futures::Sink<Vec<u8>> + Unpin {
    let response = OutgoingResponse::new(Headers::new());
    let body = response.take_body();
    out.set(response);
    body
}

async fn say(out: ResponseOutparam, said: String) {
    let mut body = begin(out);
    // A client that has left is none of its business.
    let _ = body.send(said.into_bytes()).await;
}
