//! Addresses of hosts, without the C library's modules: `/etc/hosts`, then the name servers of
//! `/etc/resolv.conf`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::dns::{Answer, Kind, answer, question};

/// The C library takes no more either.
const SERVERS_MOST: usize = 3;
const TRIES: usize = 2;
const WAIT: Duration = Duration::from_secs(3);
/// More of a text is not read.
const TEXT_MOST: u64 = 1 << 20;
const PORT: u16 = 53;

/// What the machine's files say.
#[derive(Debug)]
pub(super) struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let port = uri.port_u16().unwrap_or(default);
        let mut found = self.empty();
        for address in addresses(host).map_err(ureq::Error::Io)?.into_iter().take(16) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // RFC 6761: this name is never asked for.
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let known = in_hosts(&text("/etc/hosts"), host);
    if !known.is_empty() {
        return Ok(known);
    }
    let conf = Conf::read(&text("/etc/resolv.conf"));
    let mut last = Ok(Vec::new());
    for name in conf.names(host) {
        for kind in [Kind::A, Kind::Aaaa] {
            match ask_all(&conf.servers, &name, kind) {
                Ok(found) if found.is_empty() => {}
                found => last = found,
            }
            if last.as_ref().is_ok_and(|found| !found.is_empty()) {
                return last;
            }
        }
    }
    last
}

/// A file that is not there says nothing.
fn text(path: &str) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_MOST).read_to_end(&mut text));
    if let Err(error) = read {
        log::debug!("{path}: {error}");
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(['#', ';']).next().unwrap_or_default().split_whitespace()
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = words(line);
        let address = words.next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && words.any(|name| name.eq_ignore_ascii_case(host))
        {
            found.push(address);
        }
    }
    found
}

/// Name servers, and what may follow a short name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Conf {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
}

impl Conf {
    fn read(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = words(line);
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse().ok());
                    conf.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => {
                    conf.search = words.take(6).map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        conf.servers.truncate(SERVERS_MOST);
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        conf
    }

    /// The names to ask for: a short one with what may follow it first.
    fn names(&self, host: &str) -> Vec<String> {
        let longer = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let alone = [host.to_owned()];
        if host.contains('.') { alone.into() } else { longer.chain(alone).collect() }
    }
}

fn ask_all(servers: &[SocketAddr], name: &str, kind: Kind) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for _ in 0..TRIES {
        for server in servers {
            match ask(*server, name, kind) {
                Ok(Answer::Addresses(found)) => return Ok(found),
                Ok(_) => last = io::Error::other(format!("the name server {server} has failed")),
                Err(error) => {
                    let why = format!("no answer of the name server {server}: {error}");
                    last = io::Error::new(error.kind(), why);
                }
            }
        }
    }
    Err(last)
}

fn ask(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Answer> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let question =
        question(u16::from_ne_bytes(id), name, kind).ok_or(io::ErrorKind::InvalidInput)?;
    match over_udp(server, &question, kind)? {
        Answer::Truncated => over_tcp(server, &question, kind),
        answer => Ok(answer),
    }
}

fn over_udp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Answer> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    // From nobody else an answer is taken.
    socket.connect(server)?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.send(question)?;
    let mut buffer = [0; 4096];
    // What is no answer to it is passed over.
    for _ in 0..8 {
        let len = socket.recv(&mut buffer)?;
        let bytes = buffer.get(..len).unwrap_or_default();
        if let Some(answer) = answer(bytes, question, kind) {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn over_tcp(server: SocketAddr, question: &[u8], kind: Kind) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let len = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), question].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut bytes)?;
    answer(&bytes, question, kind).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn files_are_read_as_the_c_library_reads_them() {
        let hosts = "127.0.0.1 localhost # one\n10.0.0.1\ta.example A2\n::2 a.example\nx y\n";
        let found = in_hosts(hosts, "a.EXAMPLE");
        assert_eq!(found, [IpAddr::from([10, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 2])]);
        assert_eq!(in_hosts(hosts, "a2").len() + in_hosts(hosts, "one").len(), 1);
        let conf =
            "; comment\nnameserver 10.0.0.2\nnameserver ::1\nsearch x.example y\nnameserver z\n";
        let conf = Conf::read(conf);
        assert_eq!(conf.servers.len(), 2);
        assert_eq!(conf.names("short"), ["short.x.example", "short.y", "short"]);
        assert_eq!(conf.names("long.name"), ["long.name"]);
        assert_eq!(Conf::read("").servers, ["127.0.0.1:53".parse().expect("an address")]);
    }

    #[test]
    fn some_names_are_never_asked_for() {
        assert_eq!(addresses("[::1]").expect("an address").len(), 1);
        assert_eq!(addresses("LOCALHOST").expect("known").len(), 2);
    }

    #[test]
    fn what_is_too_long_for_one_packet_is_asked_for_again() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let server = udp.local_addr().expect("it has one");
        let tcp = TcpListener::bind(server).expect("the same port");
        let servers = thread::spawn(move || {
            let mut buffer = [0; 512];
            let (len, from) = udp.recv_from(&mut buffer).expect("a question");
            let mut reply = buffer[..len].to_vec();
            // Of another question first.
            udp.send_to(b"other", from).expect("sent");
            reply[2] |= 0x82;
            udp.send_to(&reply, from).expect("sent");
            let (mut stream, _) = tcp.accept().expect("it comes");
            let mut question = vec![0; len + 2];
            stream.read_exact(&mut question).expect("the same");
            let mut reply = question[2..].to_vec();
            reply[2] |= 0x80;
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 9]);
            let len = u16::try_from(reply.len()).expect("short").to_be_bytes();
            stream.write_all(&[&len[..], &reply].concat()).expect("sent");
        });
        let found = ask_all(&[server], "a.example", Kind::A).expect("an answer");
        assert_eq!(found, [IpAddr::from([10, 0, 0, 9])]);
        servers.join().expect("no panic");
    }
}
