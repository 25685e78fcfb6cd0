//! HTTP/2 clients that send what costs them nothing, again and again: each is told to calm down, and the next one is
//! served (invariant 13).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_native_tests::wait::within;
use weir_native_tests::{Gateway, SIMULATED};

const ENHANCE_YOUR_CALM: u8 = 11;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Whether the gateway closes with `ENHANCE_YOUR_CALM` before it has taken `most` of what `frames` makes.
async fn is_calmed(address: SocketAddr, most: u32, frames: impl Fn(u32) -> Vec<u8>) -> bool {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        while let Ok(1..) = reader.read_buf(&mut received).await {}
        received
    });
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    writer.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    for number in 0..most {
        if writer.write_all(&frames(number)).await.is_err() {
            break;
        }
    }
    // Who is not stopped by then says goodbye, and is answered in kind.
    let _ = writer.write_all(&frame(7, 0, 0, &[0; 8])).await;
    let received = within(Duration::from_secs(30), "the end", reading).await.unwrap();
    let mut rest = &received[..];
    let mut is_calmed = false;
    while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, behind)) = behind.split_at_checked(length) else { break };
        is_calmed |= *kind == 7 && payload.get(7) == Some(&ENHANCE_YOUR_CALM);
        rest = behind;
    }
    is_calmed
}

/// `GET /health` on a stream of its own; in HPACK's static table and literals.
pub(crate) fn request(number: u32) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x04, 7][..], b"/health", &[0x01, 9], b"localhost"].concat();
    frame(1, 5, 2 * number + 1, &block)
}

#[tokio::test]
async fn floods_of_control_frames_end_in_enhance_your_calm() {
    let gateway = Gateway::start(SIMULATED).await;
    let ping = |_| frame(6, 0, 0, &[7; 8]);
    let settings = |_| frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let both = |number| if number % 2 == 0 { ping(0) } else { settings(0) };
    let resets = |number| [request(number), frame(3, 0, 2 * number + 1, &[0, 0, 0, 8])].concat();
    let empty = |number| if number == 0 { frame(1, 4, 1, &request(0)[9..]) } else { frame(0, 0, 1, &[]) };
    for (name, is_calmed) in [
        ("PING", is_calmed(gateway.address, 50_000, ping).await),
        ("SETTINGS", is_calmed(gateway.address, 50_000, settings).await),
        ("PING and SETTINGS", is_calmed(gateway.address, 50_000, both).await),
        ("PRIORITY", is_calmed(gateway.address, 50_000, |_| frame(2, 0, 1, &[0, 0, 0, 0, 1])).await),
        ("what nobody knows", is_calmed(gateway.address, 50_000, |_| frame(99, 0, 0, &[1])).await),
        ("rapid reset", is_calmed(gateway.address, 50_000, resets).await),
        ("empty DATA", is_calmed(gateway.address, 50_000, empty).await),
    ] {
        assert!(is_calmed, "{name}");
        assert_eq!(gateway.get("/health").await.status, 200, "after {name}");
    }
    gateway.until_idle().await;
}

/// Clients measure the way by a PING for each answer, and keep a connection open by others.
#[tokio::test]
async fn control_frames_between_requests_are_answered() {
    let gateway = Gateway::start(SIMULATED).await;
    let some = |number| [request(number), frame(6, 0, 0, &[7; 8]).repeat(8)].concat();
    assert!(!is_calmed(gateway.address, 200, some).await);
    assert!(!is_calmed(gateway.address, 900, |_| frame(6, 0, 0, &[7; 8])).await);
}
