//! For whom a trusted hop connects: HAProxy's PROXY protocol, versions 1 and 2.
//!
//! Read only where the settings ask for it and only from a trusted hop, and then it
//! must be there: to guess whether it is would let a client write it himself. What a
//! hop says of its own (`LOCAL`, `UNKNOWN`) leaves its own address standing.
//!
//! Fields beyond the addresses are passed over.

use std::io;
use std::net::{IpAddr, SocketAddr};

use pingora_core::protocols::l4::stream::Stream;
use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::AsyncReadExt;

/// Version 1 ends within 107 bytes; fields that follow the addresses of version 2 (a TLS certificate's
/// name, an id) take some hundred.
const HEADER_BYTES_MAX: usize = 4 * 1024;
const LINE_BYTES_MAX: usize = 107;
/// How each version begins.
const BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// Reads the header at the beginning of `stream`, and nothing after it. `None` if the hop speaks for
/// itself.
///
/// # Errors
/// The hop left, or what it sent is no such header.
pub(super) async fn read(stream: &mut Stream) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::with_capacity(256);
    loop {
        let mut piece = [0; 256];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
        let parsed = HeaderResult::parse(&bytes);
        // Half an address of a line is wrong to the parser, not incomplete: a line is read to its end.
        if may_go_on(&bytes) && (is_line(&bytes) || parsed.is_incomplete()) {
            continue;
        }
        let (address, length) = match parsed {
            HeaderResult::V1(Ok(header)) => (source_v1(&header.addresses), header.header.len()),
            HeaderResult::V2(Ok(header)) => (source_v2(&header), header.len()),
            HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY protocol header"));
            }
        };
        stream.rewind(&bytes[length..]);
        return Ok(address);
    }
}

fn is_line(bytes: &[u8]) -> bool {
    bytes.first() == BEGINNINGS[0].first()
}

/// Whether what is no header yet may become one. The parser would wait for ever for some that cannot.
fn may_go_on(bytes: &[u8]) -> bool {
    let begins = |with: &&[u8]| bytes.iter().zip(*with).all(|(byte, expected)| byte == expected);
    match BEGINNINGS.iter().position(begins) {
        Some(0) => bytes.len() < LINE_BYTES_MAX && !bytes.contains(&b'\n'),
        Some(_) => bytes.len() < HEADER_BYTES_MAX,
        None => false,
    }
}

fn source_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some((IpAddr::V4(ip.source_address), ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((IpAddr::V6(ip.source_address), ip.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn source_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
            Some((IpAddr::V4(ip.source_address), ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Some((IpAddr::V6(ip.source_address), ip.source_port).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    const V2: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

    /// What is read of `bytes`, which come in pieces of `size`, and what is left after it.
    async fn read_in(bytes: &[u8], size: usize) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        client.set_nodelay(true)?;
        let (socket, _) = listener.accept().await?;
        let mut stream = Stream::from(socket);
        let write = async {
            for piece in bytes.chunks(size) {
                client.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
            client.shutdown().await
        };
        let (address, _) = tokio::join!(read(&mut stream), write);
        let mut rest = Vec::new();
        let address = address?;
        stream.read_to_end(&mut rest).await?;
        Ok((address, rest))
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&V2[..], &[0x20 | command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn both_versions_tell_the_client_however_they_are_cut() {
        let mut with_field = vec![203, 0, 113, 7, 10, 0, 0, 1, 0x10, 0x92, 0x01, 0xbb];
        with_field.extend([0x04, 0, 3, 1, 2, 3]);
        let mut six = vec![0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        six[15] = 7;
        six[33] = 9;
        let cases = [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4242 443\r\n".to_vec(), Some("203.0.113.7:4242")),
            (b"PROXY TCP6 2001:db8::7 ::1 4242 443\r\n".to_vec(), Some("[2001:db8::7]:4242")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2(1, 0x11, &with_field), Some("203.0.113.7:4242")),
            (v2(1, 0x21, &six), Some("[2001::7]:9")),
            (v2(0, 0x00, &[]), None),
            (v2(0, 0x11, &with_field), None),
        ];
        for (header, expected) in cases {
            for size in [1, 5, 1_000] {
                let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
                let (address, rest) = read_in(&bytes, size)
                    .await
                    .unwrap_or_else(|error| panic!("{header:?} by {size}: {error}"));
                assert_eq!(address, expected.map(|text| text.parse().unwrap()), "{header:?} by {size}");
                assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{header:?} by {size}");
            }
        }
    }

    #[test]
    fn only_the_beginning_of_a_header_may_go_on() {
        let line = [b"PROXY ".to_vec(), vec![b'1'; LINE_BYTES_MAX - 7]].concat();
        let cases: [(&[u8], bool); 8] = [
            (b"P", true),
            (b"PUT / HTTP/1.1\r\n", false),
            (b"GET", false),
            (b"PROXY TCP4 203.0.113.7", true),
            (b"PROXY TCP4 nonsense\r\n", false),
            (&line, true),
            (&[&line[..], b"1"].concat(), false),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", true),
        ];
        for (bytes, expected) in cases {
            assert_eq!(may_go_on(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 2 * HEADER_BYTES_MAX]].concat();
        let huge = v2(1, 0x11, &vec![0; HEADER_BYTES_MAX + 1]);
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"",
            b"PROXY",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4242\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4242 99999\r\n",
            &v2(7, 0x11, &[0; 12]),
            &v2(1, 0x11, &[0; 4]),
            &endless,
            &huge[..huge.len() - 1],
        ] {
            assert!(read_in(bytes, 1_000).await.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
