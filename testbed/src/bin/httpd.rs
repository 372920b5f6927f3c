//! Stands in for the images of the guides' stand-ins, where there is no registry: `httpd -f -p ADDRESS:PORT -h FOLDER`
//! serves the files of a folder as that of busybox does, and without arguments it waits as `pause` does.

use std::{
    env,
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// Longer requests are no scrapes.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// A client that sends nothing for so long is left.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.is_empty() {
        loop {
            thread::park();
        }
    }
    let value = |flag: &str| {
        let value = args.iter().skip_while(|arg| *arg != flag).nth(1);
        value.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{flag} is missing")))
    };
    let folder: Arc<Path> = PathBuf::from(value("-h")?).into();
    let listener = TcpListener::bind(value("-p")?.as_str())?;
    for stream in listener.incoming() {
        let (stream, folder) = (stream?, Arc::clone(&folder));
        // What goes wrong with one client is its own business.
        thread::spawn(move || answer(&stream, &folder));
    }
    Ok(())
}

/// Answers one request and closes the connection.
fn answer(mut stream: &TcpStream, folder: &Path) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(HEAD_BYTES_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // A connection that is closed with unread bytes is reset, and the answer may be lost.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/');
    let is_inside = !path.split('/').any(|part| part == "..");
    let (status, body) = match is_inside.then(|| std::fs::read(folder.join(path))) {
        Some(Ok(body)) => ("200 OK", body),
        _ => ("404 Not Found", b"not found\n".to_vec()),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n");
    let _ = write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(folder: &Path, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        answer(&listener.accept().unwrap().0, folder).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn files_of_the_folder_are_served_as_text_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("metrics");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("metrics.txt"), "up 1\n").unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        let answer = get(&folder, "/metrics.txt");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nup 1\n"), "{answer}");
        for path in ["/other", "/../secret", "/"] {
            assert!(get(&folder, path).starts_with("HTTP/1.1 404 "), "{path}");
        }
    }
}
