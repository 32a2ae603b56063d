//! The listening sockets, and how they pass from one process to the next.
//!
//! An upgrade must not refuse a connection, so nobody lets go of a socket: the
//! running process starts its successor with one end of a socket pair as its standard
//! input, and sends the listeners through it (`SCM_RIGHTS`). The successor says when
//! it serves; only then does the predecessor stop accepting. What comes in between is
//! accepted by either. A successor that ends or keeps silent changes nothing.
//!
//! Sockets are told apart by the addresses in the settings, so that these may change
//! with an upgrade: a new address is bound, one that is gone is let go of.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use crate::config::Config;

/// Tells a process that its standard input brings sockets.
const VARIABLE: &str = "PLIMSOLL_HANDOVER";
/// As many as the system passes in one message (`SCM_MAX_FD` is 253).
const SOCKETS_MAX: usize = 250;
/// Room for so many addresses, of 60 bytes at most.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A successor has loaded its policy and model within this, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// Connections that may wait to be accepted: what Linux bounds it by unless it is told otherwise
/// (`net.core.somaxconn`, since 5.4). The standard library asks for 128, which a crowd fills in the time that a
/// busy machine takes to come round.
const BACKLOG: i32 = 4_096;
/// What a successor says when it serves.
const READY: u8 = b'R';

/// The sockets of one process.
#[derive(Debug)]
pub(super) struct Sockets {
    /// In the order of the settings.
    pub(super) listeners: Vec<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

/// The process that we take over from.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

/// A process that starts. Ended when it is dropped, unless it has been let go: nobody would know of it.
struct Starting(Option<Child>);

/// A socket, and the address that the settings call it by.
#[derive(Debug)]
struct Inherited {
    address: SocketAddr,
    listener: TcpListener,
}

impl Sockets {
    /// Those that a predecessor hands over, as far as the settings still want them; the others are bound.
    pub(super) fn open(config: &Config) -> anyhow::Result<(Sockets, Option<Predecessor>)> {
        let (mut inherited, predecessor) = match inherit().context("the predecessor's sockets")? {
            Some((inherited, predecessor)) => (inherited, Some(predecessor)),
            None => (Vec::new(), None),
        };
        let mut open = |address: SocketAddr| {
            let listener = match inherited.iter().position(|one| one.address == address) {
                Some(index) => inherited.remove(index).listener,
                None => bind(address)?,
            };
            // To listen once more changes the backlog alone, of an inherited socket, too: who waits there goes on.
            rustix::net::listen(&listener, BACKLOG).context("cannot lengthen the backlog")?;
            anyhow::Ok(listener)
        };
        let listeners =
            config.listen.iter().map(|listener| open(listener.address)).collect::<anyhow::Result<_>>()?;
        let admin = config.admin.listen.map(open).transpose()?;
        Ok((Sockets { listeners, admin }, predecessor))
    }

    /// The same sockets once more: they stay open until both are dropped.
    pub(super) fn duplicate(&self) -> io::Result<Sockets> {
        let listeners = self.listeners.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok(Sockets { listeners, admin: self.admin.as_ref().map(TcpListener::try_clone).transpose()? })
    }

    /// Starts this program anew, as the file is now, and waits until it serves at these sockets.
    pub(super) async fn hand_over(&self, config: &Config) -> anyhow::Result<u32> {
        let (ours, theirs) = UnixStream::pair().context("no socket pair")?;
        self.send(config, &ours)?;
        let mut arguments = std::env::args_os();
        let program = arguments.next().context("nothing says which program this is")?;
        let successor = start(program, arguments, theirs).context("cannot start the new program")?;
        let mut starting = Starting(Some(successor));
        match tokio::time::timeout(START_MAX, readiness(ours)).await {
            Ok(Ok(())) => starting.let_go().id().context("the new process ended at once"),
            Ok(Err(_)) => {
                let status = starting.let_go().wait().await?;
                bail!("the new process ended: {status}")
            }
            Err(_) => bail!("the new process did not serve within {START_MAX:?}"),
        }
    }

    fn send(&self, config: &Config, to: &UnixStream) -> anyhow::Result<()> {
        let addresses = config.listen.iter().map(|listener| listener.address).chain(config.admin.listen);
        let text: Vec<String> = addresses.map(|address| address.to_string()).collect();
        let sockets: Vec<BorrowedFd<'_>> =
            self.listeners.iter().chain(&self.admin).map(AsFd::as_fd).collect();
        if sockets.len() > SOCKETS_MAX {
            bail!("{} sockets; at most {SOCKETS_MAX} can be handed over", sockets.len());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)), "the buffer is made for so many");
        rustix::net::sendmsg(
            to,
            &[IoSlice::new(text.join("\n").as_bytes())],
            &mut control,
            SendFlags::empty(),
        )
        .context("cannot send sockets")?;
        Ok(())
    }
}

impl Starting {
    fn let_go(&mut self) -> Child {
        self.0.take().expect("it is let go of once")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0
            && let Err(error) = child.start_kill()
        {
            log::warn!("the new process could not be ended: {error}");
        }
    }
}

impl Predecessor {
    /// Tells it that we serve: it stops accepting.
    pub(super) fn relieve(mut self) -> io::Result<()> {
        io::Write::write_all(&mut self.0, &[READY])
    }
}

fn start(
    program: OsString,
    arguments: impl Iterator<Item = OsString>,
    stdin: UnixStream,
) -> io::Result<Child> {
    Command::new(program).args(arguments).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(stdin))).spawn()
}

async fn readiness(from: UnixStream) -> io::Result<()> {
    from.set_nonblocking(true)?;
    let mut from = tokio::net::UnixStream::from_std(from)?;
    if from.read_u8().await? == READY { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn inherit() -> anyhow::Result<Option<(Vec<Inherited>, Predecessor)>> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(None);
    }
    let from = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let inherited = receive(&from)?;
    Ok(Some((inherited, Predecessor(from))))
}

fn receive(from: &UnixStream) -> anyhow::Result<Vec<Inherited>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        from,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights.map(TcpListener::from));
        }
    }
    let text = std::str::from_utf8(&bytes[..received.bytes])?;
    let addresses = text.lines().map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    if addresses.len() != sockets.len() {
        bail!("{} addresses for {} sockets", addresses.len(), sockets.len());
    }
    let inherited = addresses.into_iter().zip(sockets);
    Ok(inherited.map(|(address, listener)| Inherited { address, listener }).collect())
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}: is another process using the port, or may this user not?")
    })?;
    listener.set_nonblocking(true).context("cannot make the listener non-blocking")?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::config::{AdminSettings, Listener};

    #[test]
    fn sockets_arrive_with_the_addresses_they_are_called_by() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let admin = AdminSettings { listen: Some(any), ..AdminSettings::default() };
        let config = Config { listen: vec![Listener::clear(any); 2], admin, ..Config::default() };
        let (sockets, predecessor) = Sockets::open(&config).unwrap();
        assert!(predecessor.is_none());
        let (ours, theirs) = UnixStream::pair().unwrap();
        sockets.send(&config, &ours).unwrap();
        let received = receive(&theirs).unwrap();
        let at = |listener: &TcpListener| listener.local_addr().unwrap();
        let expected: Vec<SocketAddr> = sockets.listeners.iter().chain(&sockets.admin).map(at).collect();
        assert_eq!(received.iter().map(|one| at(&one.listener)).collect::<Vec<_>>(), expected);
        assert!(received.iter().all(|one| one.address == any));
    }

    #[test]
    fn a_crowd_may_connect_before_the_first_of_it_is_accepted() {
        // More than the standard library lets wait, unless the system forbids it.
        let bound = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
        let crowd = bound.trim().parse::<usize>().unwrap_or(200).min(200);
        let config =
            Config { listen: vec![Listener::clear("127.0.0.1:0".parse().unwrap())], ..Config::default() };
        let (sockets, _) = Sockets::open(&config).unwrap();
        let address = sockets.listeners[0].local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap();
        let clients: Vec<TcpStream> = (0..crowd).map(|_| connect()).collect();
        assert_eq!(clients.len(), crowd);
    }

    #[test]
    fn a_predecessor_that_is_gone_leaves_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(&theirs).unwrap().is_empty());
    }
}
