//! Where clients come in: a connection is counted, said for whom it is, agreed with on TLS, and served.
//!
//! The loop is ours and not Pingora's, for what comes before TLS (the PROXY protocol)
//! and because a connection too many is to be closed before it costs a handshake.
//! When told to stop, it accepts nobody else, and connections end after the request
//! that is under way; those that wait for one are given a moment to send it, so that
//! a client that reuses its connection learns of the end from an answer.
//!
//! What is said on a connection is `preface`'s and Pingora's.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::stream::Stream as Socket;
use pingora_core::protocols::{GetSocketDigest, SocketDigest, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::handshakes::Handshakes;
use super::places::{Place, Places};
use super::preface::EitherHttp;
use super::proxy_header;
use super::strain::{Rung, Strain};
use crate::config::{Listener, ServerTls};
use crate::serving::Serving;
use crate::telemetry::connections::TurnedAway;
use crate::tls::TlsError;
use crate::tls::server::{Tickets, server_config};

/// A pause after the system has refused a connection: it is out of descriptors, and to spin makes it worse.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// TLS at one door.
struct Tls {
    settings: ServerTls,
    tickets: Tickets,
    acceptor: ArcSwap<Acceptor>,
    handshakes: Handshakes,
}

/// What is agreed on at one address that clients connect to. Who has come in holds it as long as he stays, so that
/// the listener is no part of it: that one is closed when nobody else is accepted.
struct Door {
    speaks_for_others: bool,
    tls: Option<Arc<Tls>>,
}

/// All of them.
pub struct Doors<A> {
    serving: Arc<Serving>,
    app: Arc<EitherHttp<A>>,
    places: Arc<Places>,
    strain: Strain,
    tls: Vec<Arc<Tls>>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Doors<A> {
    /// Serves `app` at `listeners`, which stand in the order of the settings, until told to stop.
    ///
    /// # Errors
    /// A certificate that cannot be used, or a listener.
    pub fn open(
        app: EitherHttp<A>,
        serving: Arc<Serving>,
        listeners: Vec<std::net::TcpListener>,
        strain: Strain,
        stopped: &watch::Receiver<bool>,
    ) -> Result<(Arc<Doors<A>>, JoinSet<()>), DoorError> {
        let settings = serving.config.listen.iter();
        let most = serving.config.connections.handshakes_per_s_max;
        let doors = settings.zip(listeners).map(|(settings, listener)| Door::open(settings, listener, most));
        let doors = doors.collect::<Result<Vec<(TcpListener, Door)>, DoorError>>()?;
        let places = Places::new(serving.config.connections, serving.metrics.connections.open.clone());
        let tls = doors.iter().filter_map(|(_, door)| door.tls.clone()).collect();
        let all = Arc::new(Doors { serving, app: Arc::new(app), places, strain, tls });
        let mut accepting = JoinSet::new();
        for (listener, door) in doors {
            accepting.spawn(all.clone().accept(listener, Arc::new(door), stopped.clone()));
        }
        Ok((all, accepting))
    }

    /// Reads all certificates anew. Those of a door whose files cannot be used stay as they are.
    pub fn reload_certificates(&self) {
        for tls in &self.tls {
            let reloaded = tls.reload();
            self.serving.metrics.connections.certificates_reloaded(reloaded.is_ok());
            match reloaded {
                Ok(()) => log::info!("certificates: read anew"),
                Err(error) => log::error!("certificates: those in use stay: {error}"),
            }
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.places.count()
    }

    /// Ends the connections that wait for a request.
    pub async fn close_idle(&self) {
        self.app.cleanup().await;
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        door: Arc<Door>,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                // Who has connected already is served, before nobody else is.
                biased;
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            match accepted {
                Ok((socket, _)) => {
                    tokio::spawn(self.clone().serve(socket, door.clone(), stopped.clone()));
                }
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, socket: TcpStream, door: Arc<Door>, stopped: watch::Receiver<bool>) {
        let welcome = tokio::time::timeout(self.serving.config.connections.head, self.welcome(socket, &door));
        let entered = welcome.await.unwrap_or(Err(TurnedAway::Handshake));
        match entered {
            Ok((place, stream)) => drop(place.hold(self.app.process_new(stream, &stopped)).await),
            Err(why) => self.serving.metrics.connections.turn_away(why),
        }
    }

    async fn welcome(&self, socket: TcpStream, door: &Door) -> Result<(Place, Stream), TurnedAway> {
        if self.strain.rung() == Rung::NoConnections {
            return Err(TurnedAway::Strained);
        }
        let mut place = self.places.take()?;
        // A client that is gone by now is one that did not agree with us.
        let mut client = socket.peer_addr().map_err(|_| TurnedAway::Handshake)?;
        socket.set_nodelay(true).map_err(|_| TurnedAway::Handshake)?;
        let mut stream = Socket::from(socket);
        if door.speaks_for_others && self.serving.hops.contains(client.ip()) {
            let told = proxy_header::read(&mut stream).await.map_err(|_| TurnedAway::ProxyHeader)?;
            client = told.unwrap_or(client);
        }
        let is_hop = self.serving.hops.contains(client.ip());
        if is_hop {
            place.stand_for_many();
        } else {
            place.count_for(client.ip())?;
        }
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        digest.peer_addr.set(Some(client.into())).expect("a new digest knows no address");
        stream.set_socket_digest(digest);
        let Some(tls) = &door.tls else { return Ok((place, Box::new(stream))) };
        if !is_hop && !tls.handshakes.may_begin(client.ip(), self.serving.clock.now()) {
            return Err(TurnedAway::TooManyHandshakes);
        }
        let shaken = tls.acceptor.load_full().tls_handshake(stream).await;
        shaken.map(|stream| (place, Box::new(stream) as Stream)).map_err(|_| TurnedAway::Handshake)
    }
}

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Its certificates.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// Its listener.
    #[error("a listener cannot be used: {0}")]
    Listener(#[from] io::Error),
}

impl Door {
    fn open(
        settings: &Listener,
        listener: std::net::TcpListener,
        handshakes_per_s_max: Option<u32>,
    ) -> Result<(TcpListener, Door), DoorError> {
        let tls = settings.tls.as_ref().map(|tls| Tls::new(tls, handshakes_per_s_max));
        let tls = tls.transpose()?.map(Arc::new);
        let door = Door { speaks_for_others: settings.proxy_protocol, tls };
        Ok((TcpListener::from_std(listener)?, door))
    }
}

impl Tls {
    fn new(settings: &ServerTls, handshakes_per_s_max: Option<u32>) -> Result<Tls, TlsError> {
        let tickets = Tickets::new()?;
        let acceptor = Acceptor::from_server_config(server_config(settings, &tickets)?);
        Ok(Tls {
            settings: settings.clone(),
            tickets,
            acceptor: ArcSwap::from_pointee(acceptor),
            handshakes: Handshakes::new(handshakes_per_s_max),
        })
    }

    fn reload(&self) -> Result<(), TlsError> {
        let config = server_config(&self.settings, &self.tickets)?;
        self.acceptor.store(Arc::new(Acceptor::from_server_config(config)));
        Ok(())
    }
}
