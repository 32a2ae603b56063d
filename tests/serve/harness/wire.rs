//! HTTP/1.1 by hand, for either end: what a library would refuse to send must be sent here.
//!
//! It reads any framing that a correct peer may use and checks no more than that.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::bounded;

/// A request or a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Its first line.
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    /// Its body, without the framing.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no response: {self:?}"))
    }

    /// The value of a header field; several are joined with `, `.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Its first line and header fields, as they were sent.
    pub(crate) fn head_text(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n{}\n", self.start, headers.collect::<String>())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked"))
    }

    fn has_no_body(&self) -> bool {
        !self.start.starts_with("HTTP/") || matches!(self.status(), 100..=199 | 204 | 304)
    }
}

/// One end of a connection.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    /// A connection to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> Wire {
        Wire::over(bounded("a connection", TcpStream::connect(address)).await.unwrap())
    }

    /// A connection that is already there.
    pub(crate) fn over(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).unwrap();
        Wire(BufReader::new(stream))
    }

    /// Sends bytes as they are. An error means that the peer is gone.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        bounded("the peer to read", self.0.get_mut().write_all(bytes.as_ref())).await
    }

    /// Sends bytes as they are to a peer that must be there.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&mut self, method_and_target: &str, headers: &str) {
        self.send(format!("{method_and_target} HTTP/1.1\r\nHost: shop.test\r\n{headers}\r\n")).await;
    }

    /// Sends a request without a body and reads its response.
    pub(crate) async fn exchange(&mut self, method_and_target: &str, headers: &str) -> Message {
        self.ask(method_and_target, headers).await;
        self.message().await.unwrap()
    }

    /// Reads a whole message. An error means that the peer left or broke off.
    pub(crate) async fn message(&mut self) -> io::Result<Message> {
        let mut message = self.head().await?;
        bounded("a body", self.read_body(&mut message)).await?;
        Ok(message)
    }

    /// Reads the head of a message, and nothing of its body.
    pub(crate) async fn head(&mut self) -> io::Result<Message> {
        bounded("a head", self.read_head()).await
    }

    /// Reads so many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        bounded("bytes", self.0.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads until the peer closes or resets.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // What came before a reset is kept, and all that matters.
        let _ = bounded("the connection to close", self.0.read_to_end(&mut rest)).await;
        rest
    }

    /// Says that nothing more will come.
    pub(crate) async fn half_close(&mut self) {
        self.0.get_mut().shutdown().await.unwrap();
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        self.0.get_ref().set_zero_linger().unwrap();
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn read_head(&mut self) -> io::Result<Message> {
        let mut message = Message { start: self.line().await?, ..Message::default() };
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                Some((name, value)) => {
                    message.headers.push((name.to_owned(), value.trim().to_owned()));
                }
                None => return Ok(message),
            }
        }
    }

    async fn read_body(&mut self, message: &mut Message) -> io::Result<()> {
        let length = message.header("content-length").map(|length| length.parse().unwrap());
        if message.is_chunked() {
            return self.read_chunks(&mut message.body).await;
        } else if let Some(length) = length {
            message.body.resize(length, 0);
            self.0.read_exact(&mut message.body).await?;
        } else if !message.has_no_body() {
            self.0.read_to_end(&mut message.body).await?;
        }
        Ok(())
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        while let chunk @ [_, ..] = &self.read_chunk().await?[..] {
            body.extend_from_slice(chunk);
        }
        Ok(())
    }

    /// Reads one chunk of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        bounded("a chunk", self.read_chunk()).await
    }

    async fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).await?;
        self.line().await?;
        Ok(chunk)
    }
}
