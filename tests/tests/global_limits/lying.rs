//! A service that answers what is no verdict: each time the request goes on or is refused, as said.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use meltemi_proto::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use meltemi_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use meltemi_tests::redis::Server;
use meltemi_tests::until;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::shop::{BY_KEY, MISTAKEN, Shop, UNDECIDED, UNREACHABLE};

/// Answers with the code that the key of the request is, or with an error.
struct Liar;

#[tonic::async_trait]
impl RateLimitService for Liar {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        let entries = request.descriptors.iter().flat_map(|it| &it.entries);
        let key = entries.last().map(|entry| entry.value.clone());
        let code = key.as_deref().and_then(|key| key.parse().ok());
        let overall_code = code.ok_or_else(|| Status::internal("the database is away"))?;
        Ok(Response::new(RateLimitResponse {
            overall_code,
            ..RateLimitResponse::default()
        }))
    }
}

fn liar(runtime: &Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(RateLimitServiceServer::new(Liar))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    address
}

#[test]
fn what_is_no_verdict_decides_nothing() {
    if !Server::is_installed() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let address = liar(&runtime);
    for (deny, undecided) in [(false, "(nil)"), (true, MISTAKEN)] {
        let limit = format!("{BY_KEY}, requestTimeout: 60s, denyOnFail: {deny}");
        let it = Shop::start(address, &limit, &["--workers", "1"]);
        let mut client = it.connect();
        assert_eq!(client.call("GET 1"), "(nil)");
        for key in ["0", "3", "-7", "2147483647", "what"] {
            assert_eq!(client.call(&format!("GET {key}")), undecided, "{key}");
        }
        assert_eq!(client.call("GET 1"), "(nil)");
        assert_eq!((it.count("ok"), it.count("error")), (2, 5));
        assert_eq!((it.count("timeout"), it.count("unreachable")), (0, 0));
        // Once in a while, with what the service said.
        let log = until("a line", || {
            let log = it.meltemi.process().said();
            log.contains("its verdict has the code 0").then_some(log)
        });
        let lines = log.matches("the rate limit service did not decide").count();
        assert_eq!(lines, 1, "{log}");
    }
}

/// What it speaks is not even gRPC.
#[test]
fn garbage_and_silence_decide_nothing() {
    if !Server::is_installed() {
        return;
    }
    let garbage: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nokay";
    let noise = [0xff; 4096];
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for (said, closes) in [
        (garbage, true),
        (&noise[..], false),
        // A connection as it should be, on which nothing more comes.
        (&settings[..], false),
        (&[][..], true),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let said = said.to_vec();
        thread::spawn(move || {
            let mut open = vec![];
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&said);
                if !closes {
                    open.push(stream);
                }
            }
        });
        let limit = format!("{BY_KEY}, requestTimeout: 200ms, denyOnFail: true");
        let it = Shop::start(address, &limit, &["--workers", "1"]);
        let mut client = it.connect();
        for _ in 0..5 {
            let said = client.call("GET apple");
            // What breaks the connection is told apart from what says nothing.
            assert!([UNDECIDED, UNREACHABLE].contains(&said.as_str()), "{said}");
        }
        assert_eq!(it.count("error"), 5);
        assert_eq!(it.count("timeout") + it.count("unreachable"), 5);
        let mut other = it.connect();
        assert_eq!(other.call("DBSIZE"), ":0");
        until("nothing is left", || (it.in_flight() == 0).then_some(()));
    }
}
