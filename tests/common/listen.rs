//! A server on this machine, for as long as the process lives.
#![allow(clippy::unwrap_used, reason = "this is part of tests")]

use std::net::{TcpListener, TcpStream};

/// Serves each connection on a thread of its own. Returns the port, which the system chooses.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(client));
        }
    });
    port
}
