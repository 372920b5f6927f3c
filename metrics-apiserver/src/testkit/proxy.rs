//! An HTTP and SOCKS5 proxy on loopback that records what it is asked for; two threads for each connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The proxy. Its threads end with the process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&proxy.heads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = Arc::clone(&heads);
                // None: the client or the server is gone.
                thread::spawn(move || serve(stream, &heads).unwrap_or_default());
            }
        });
        proxy
    }

    /// The heads of all HTTP requests so far, and `SOCKS5` with the target for each connection by SOCKS.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut client = BufReader::new(stream);
    if client.fill_buf().ok()?.first() == Some(&5) {
        return serve_socks(client, heads);
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (client.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    heads.lock().unwrap().push(head.clone());
    let (line, rest) = head.split_once("\r\n")?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    if method == "CONNECT" {
        let server = TcpStream::connect(target).ok()?;
        client.get_mut().write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        return copy_both(client, &server);
    }
    // The absolute form. The connection goes to this server from here on.
    let (address, path) = target.strip_prefix("http://")?.split_once('/')?;
    let mut server = TcpStream::connect(address).ok()?;
    server.write_all(format!("{method} /{path} HTTP/1.1\r\n{rest}").as_bytes()).ok()?;
    copy_both(client, &server)
}

/// RFC 1928, without authentication.
fn serve_socks(mut client: BufReader<TcpStream>, heads: &Mutex<Vec<String>>) -> Option<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).ok()?;
    client.read_exact(&mut vec![0; greeting[1].into()]).ok()?;
    client.get_mut().write_all(&[5, 0]).ok()?;
    let mut request = [0; 4];
    client.read_exact(&mut request).ok()?;
    let host = match request[3] {
        1 => {
            let mut address = [0; 4];
            client.read_exact(&mut address).ok()?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        3 => {
            let mut length = [0];
            client.read_exact(&mut length).ok()?;
            let mut name = vec![0; length[0].into()];
            client.read_exact(&mut name).ok()?;
            String::from_utf8(name).ok()?
        }
        _ => return None,
    };
    let mut port = [0; 2];
    client.read_exact(&mut port).ok()?;
    let target = format!("{host}:{}", u16::from_be_bytes(port));
    heads.lock().unwrap().push(format!("SOCKS5 {target}"));
    let server = TcpStream::connect(target).ok()?;
    client.get_mut().write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    copy_both(client, &server)
}

/// Until both directions have ended.
fn copy_both(mut client: BufReader<TcpStream>, server: &TcpStream) -> Option<()> {
    let (mut back, mut from) = (client.get_ref().try_clone().ok()?, server.try_clone().ok()?);
    let answering = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut client, &mut &*server);
    let _ = server.shutdown(Shutdown::Write);
    answering.join().ok()
}
