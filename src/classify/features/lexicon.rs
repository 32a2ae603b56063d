//! The words of the shop world, in the languages its shops speak: which of them mean the same.
//!
//! A model that has seen six platforms cannot know that `sepet` is a cart; this list does, and
//! what it learned about carts then holds for every language in it. The list is our own, short on
//! purpose: words that shops put into paths, not a dictionary. A *noun* names a thing of the shop
//! and says most about a class, so each noun has features of its own; the other words only stand
//! for each other.
//!
//! It does not stem and does not guess: a form that is not listed is an unknown word. What a noun
//! means for the class, alone or next to another, is for the model to learn.

use super::words::Fnv;

/// Nouns, each with the words that stand for it. The order is part of the features' schema.
const NOUNS: [(&str, &str); 29] = [
    (
        "cart",
        "cart carts basket baskets bag trolley minicart warenkorb einkaufswagen einkaufskorb panier paniers \
         carrito carro cesta bolsa carrello carrinho sacola winkelwagen winkelmandje koszyk koszyka varukorg \
         kundvagn handlekurv handlevogn indkobskurv kurv ostoskori kosik kosar sepet sepetim korzina cos \
         kosarica кошик корзина καλαθι καλάθι 购物车 購物車 カート 장바구니",
    ),
    (
        "checkout",
        "checkout checkouts onepage onestep kasse caisse cassa kassa kassan pokladna penztar afrekenen \
         zurkasse tramitar bestellung bestellen commande pedido ordine bestelling zamowienie objednavka \
         siparis bestallning tilaus oformlenie оформление 结账 結帳 レジ 결제",
    ),
    (
        "payment",
        "pay payment payments zahlung zahlungen zahlungsart bezahlen bezahlung paiement paiements pago pagos \
         pagar pagamento pagamenti betaling betalen betalning platnosc platnosci platba odeme oplata maksu \
         fizetes plata paypal stripe adyen klarna mollie braintree worldpay amazonpay applepay googlepay \
         afterpay clearpay affirm bancontact payu razorpay redsys gateway \
         ipn 3ds payone saferpay sumup viva iyzico paytr tpay billpay twint vipps \
         mobilepay оплата 支付",
    ),
    (
        "shipping",
        "shipping shipment shipments delivery versand versandart lieferung livraison envio envios entrega \
         spedizione consegna verzending wysylka dostawa leverans levering doprava kargo teslimat dostavka \
         toimitus szallitas livrare consignment consignments fulfillment fulfillments fulfilment доставка",
    ),
    ("billing", "billing rechnungsadresse facturation facturacion fatturazione invoice invoices"),
    ("buy", "buy purchase kaufen acheter comprar compra acquista kup kopen kop osta satinal buynow"),
    ("order", "order orders bestellungen commandes pedidos ordini zamowienia objednavky siparisler"),
    (
        "coupon",
        "coupon coupons voucher vouchers gutschein promo promotion promotions discount discounts rabatt \
         giftcard giftcards giftcertificate cupon",
    ),
    (
        "address",
        "address addresses adresse adressen adresses direccion direcciones indirizzo indirizzi endereco \
         enderecos adres adresy addressbook",
    ),
    (
        "account",
        "account accounts myaccount konto kundenkonto compte cuenta conta tili hesap hesabim ucet profile \
         profiles profil perfil profilo user users customer customers kunde kunden cliente clientes klient \
         member members mitglied me kabinet minasidor minside кабинет 账户 マイページ",
    ),
    (
        "login",
        "login logon signin logout signout anmelden abmelden anmeldung einloggen connexion deconnexion \
         identification accedi acceder entrar inloggen uitloggen aanmelden logowanie zaloguj prihlaseni \
         giris cikis kirjaudu vhod bejelentkezes auth oauth authorize authenticate authentication sso \
         sesion signedin",
    ),
    (
        "register",
        "register registration signup registrieren registrierung inscription registro registrati cadastro \
         registreren rejestracja registrace kayit uyelik registracija",
    ),
    (
        "password",
        "password passwords passwort kennwort motdepasse passe contrasena senha wachtwoord haslo losenord heslo \
         sifre jelszo salasana forgot forgotten recovery",
    ),
    (
        "wishlist",
        "wishlist wishlists wunschliste wunschzettel merkzettel merkliste favoris favorites favourites \
         favoritos preferiti verlanglijst ulubione onskeliste onskelista oblibene favoriler favorite",
    ),
    (
        "search",
        "search searches suche suchen suchergebnisse recherche rechercher buscar buscador busqueda busca \
         pesquisa cerca ricerca zoeken zoek szukaj wyszukiwanie sok soeg haku hledat hledani arama ara \
         poisk kereses cautare find finder lookup suggest suggestions suggestion autocomplete autosuggest \
         typeahead catalogsearch searchresults поиск 搜索 検索 검색",
    ),
    (
        "product",
        "product products produkt produkte produit produits producto productos prodotto prodotti produto \
         produtos produkty produkter tuote tuotteet urun urunler tovar tovary vyrobek vyrobky termek \
         termekek produs produse artikel sku variant variants catalog catalogue katalog catalogo catalogus \
         item items товар 商品",
    ),
    (
        "category",
        "category categories kategorie kategorien categorie categoria categorias kategoria kategorie \
         kategorier kategori collection collections taxon taxons department departments brand brands marke \
         marken marque marques marca marcas merk merken marka navigation menu breadcrumb",
    ),
    ("review", "review reviews rating ratings bewertung bewertungen avis resena recensioni opinie"),
    (
        "page",
        "page pages blog blogs news post posts article articles magazin magazine guide guides about contact \
         help faq terms privacy policy policies imprint impressum agb datenschutz kontakt kontakte contacto \
         contatti home cms landing press careers jobs stories story seller sellers vendor vendors feed",
    ),
    (
        "asset",
        "static assets asset dist css img images image pictures fonts font media uploads upload thumbnail \
         thumbnails theme themes bundles icons sitemap robots favicon",
    ),
    (
        "beacon",
        "collect beacon beacons pixel pixels track tracking tracker trackers event events analytics metrics \
         telemetry rum stats statistics statistic impression impressions pageview pageviews clickstream hit \
         hits log logs utm matomo piwik gtm gtag heatmap vitals click clicks monorail insights recorder",
    ),
    ("api", "api apis rest webapi rpc ajax graphql soap xmlrpc webhook webhooks"),
    (
        "admin",
        "admin administrator backend backoffice wpadmin cron import export extension extensions plugin \
         plugins health healthz status version inventory",
    ),
    (
        "setting",
        "config configuration configs settings setting country countries currency currencies region regions \
         locale locales language languages tax taxes zone zones channel channels type types group groups \
         role roles state states rule rules attribute attributes price prices stock translations context \
         subscription subscriptions market markets salutation",
    ),
    ("newsletter", "newsletter newsletters subscribe unsubscribe subscriber subscribers"),
    ("return", "return returns rma retoure ruecksendung retour devolucion reso zwrot"),
    ("quote", "quote quotes"),
    ("session", "session sessions"),
    ("card", "card cards creditcard creditcards credit credits"),
];

/// Words that are no thing of a shop, with those that mean the same.
const OTHERS: [(&str, &str); 14] = [
    (
        "add",
        "add append hinzufuegen ajouter agregar anadir aggiungi adicionar toevoegen dodaj lagg pridat ekle",
    ),
    ("remove", "remove delete clear empty entfernen supprimer eliminar rimuovi usun sil"),
    ("update", "update edit change set apply modify save select assign"),
    ("show", "get load fetch refresh refreshed view show index display details detail read"),
    ("create", "create new start init begin"),
    (
        "complete",
        "complete confirm confirmation place submit finish success finalize thankyou thank validate capture",
    ),
    ("my", "my mein meine mon mes mi mio mia minha meu mine mijn moj moje mina min muj"),
    ("to", "to zum zur au aux al in on of for from the and"),
    ("quantity", "quantity qty menge"),
    ("info", "info information fragments fragment section sections summary totals total"),
    ("method", "method methods option options rates rate provider providers"),
    ("list", "list lists all listing"),
    ("form", "form forms"),
    // What programs are written in; each stands for itself.
    (ITSELF, "php html htm xhtml asp aspx jsp action do cgi json js xml wp wc"),
];

/// The name of words that have nothing in common but that shops use them.
const ITSELF: &str = "";

/// How many nouns there are.
pub(super) const NOUNS_LEN: usize = NOUNS.len();

/// Places of the table: several times as many as there are words, so that probes are short.
const PLACES: usize = 4096;

/// A part of a compound has at least as many letters: `to` is the shortest that says something.
const PART_LEN_MIN: usize = 2;

/// Words shorter than this are looked up whole: none is a compound (`mycart`).
const COMPOUND_LEN_MIN: usize = 6;

/// An entry of the list: its place in `NOUNS`, or behind them in `OTHERS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning(u8);

impl Meaning {
    /// The noun it is, as an index below [`NOUNS_LEN`].
    pub(super) fn noun(self) -> Option<usize> {
        let index = usize::from(self.0);
        (index < NOUNS_LEN).then_some(index)
    }

    /// The word that stands for all that mean the same; `word` itself if none does.
    pub(super) fn name(self, word: &[u8]) -> &[u8] {
        let index = usize::from(self.0);
        let name = if index < NOUNS_LEN { NOUNS[index].0 } else { OTHERS[index - NOUNS_LEN].0 };
        if name == ITSELF { word } else { name.as_bytes() }
    }
}

/// The names of the nouns.
pub(super) fn noun_names() -> impl Iterator<Item = &'static str> {
    NOUNS.iter().map(|(name, _)| *name)
}

/// What the list says of a word.
pub(super) enum Sense<'a> {
    /// It is listed.
    Listed(Meaning),
    /// It is made of listed words.
    Compound(Parts<'a>),
    /// Nothing.
    Unknown,
}

/// What the list says of a word: whole, or else of what it is made of.
pub(super) fn sense(word: &[u8]) -> Sense<'_> {
    let listed = meaning(word).map(Sense::Listed);
    listed.or_else(|| parts(word).map(Sense::Compound)).unwrap_or(Sense::Unknown)
}

/// What a word means, if it is listed.
fn meaning(word: &[u8]) -> Option<Meaning> {
    let mut hash = Fnv::new();
    hash.write(word);
    find(hash)
}

/// The meanings of the listed words that a word is entirely made of: `addtocart` is `add`, `to`,
/// `cart`. Nothing if a rest remains; the longest word wins at each place.
fn parts(word: &[u8]) -> Option<Parts<'_>> {
    if word.len() < COMPOUND_LEN_MIN {
        return None;
    }
    let mut parts = Parts { found: [(Meaning(0), &[]); PARTS_MAX], len: 0 };
    let mut rest = word;
    while !rest.is_empty() {
        let (part, len) = longest(rest)?;
        *parts.found.get_mut(parts.len)? = (part, &rest[..len]);
        parts.len += 1;
        rest = &rest[len..];
    }
    Some(parts)
}

/// The listed words that one is made of.
pub(super) struct Parts<'a> {
    found: [(Meaning, &'a [u8]); PARTS_MAX],
    len: usize,
}

impl<'a> Parts<'a> {
    /// Each part with its meaning, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Meaning, &'a [u8])> {
        self.found[..self.len].iter().copied()
    }
}

/// More parts than that has no word of ours (`add`, `to`, `cart`, `form`).
const PARTS_MAX: usize = 4;

/// The longest listed word that `text` begins with.
fn longest(text: &[u8]) -> Option<(Meaning, usize)> {
    let mut hash = Fnv::new();
    let mut best = None;
    for (index, byte) in text.iter().enumerate() {
        hash.write(&[*byte]);
        let len = index + 1;
        if len >= PART_LEN_MIN
            && let Some(meaning) = find(hash)
        {
            best = Some((meaning, len));
        }
    }
    best
}

/// Open addressing over the words' hashes; 0 is a free place. 64 bits tell our words from any other
/// a shop may use, and who looks for a collision may as well write `checkout`.
struct Table {
    hashes: [u64; PLACES],
    meanings: [u8; PLACES],
}

static TABLE: Table = build();

fn find(hash: Fnv) -> Option<Meaning> {
    let hash = hash.finish();
    let mut place = hash as usize % PLACES;
    while TABLE.hashes[place] != 0 {
        if TABLE.hashes[place] == hash {
            return Some(Meaning(TABLE.meanings[place]));
        }
        place = (place + 1) % PLACES;
    }
    None
}

/// Built by the compiler, so that nothing is computed at start and a lookup takes no lock.
const fn build() -> Table {
    let mut table = Table { hashes: [0; PLACES], meanings: [0; PLACES] };
    let mut index = 0;
    while index < NOUNS_LEN + OTHERS.len() {
        let list = if index < NOUNS_LEN { NOUNS[index].1 } else { OTHERS[index - NOUNS_LEN].1 };
        table = with_words(table, list.as_bytes(), index as u8);
        index += 1;
    }
    table
}

const fn with_words(mut table: Table, list: &[u8], meaning: u8) -> Table {
    let (mut at, mut hash, mut is_word) = (0, Fnv::new(), false);
    while at <= list.len() {
        if at < list.len() && list[at] != b' ' {
            hash = hash.with(list[at]);
            is_word = true;
        } else if is_word {
            table = with_word(table, hash.finish(), meaning);
            (hash, is_word) = (Fnv::new(), false);
        }
        at += 1;
    }
    table
}

const fn with_word(mut table: Table, hash: u64, meaning: u8) -> Table {
    let mut place = hash as usize % PLACES;
    while table.hashes[place] != 0 && table.hashes[place] != hash {
        place = (place + 1) % PLACES;
    }
    // Of words in two entries the first counts.
    if table.hashes[place] == 0 {
        table.hashes[place] = hash;
        table.meanings[place] = meaning;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(word: &str) -> Option<&str> {
        let meaning = meaning(word.as_bytes())?;
        // An entry's name is the name of each of its words, but for those that stand for themselves.
        Some(if meaning.name(b"?") == b"?" {
            ITSELF
        } else {
            std::str::from_utf8(meaning.name(b"?")).unwrap()
        })
    }

    #[test]
    fn words_of_many_languages_are_one_noun() {
        for word in
            ["cart", "basket", "warenkorb", "panier", "carrito", "carrello", "bolsa", "sepet", "корзина"]
        {
            assert_eq!(name(word), Some("cart"), "{word}");
        }
        for word in ["checkout", "Kasse", "caisse", "cassa", "kassan"] {
            assert_eq!(name(word), Some("checkout"), "{word}");
        }
        assert_eq!(name("shoes"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn every_entry_is_found_under_its_name_and_every_word_is_listed_once() {
        let entries = NOUNS.iter().chain(&OTHERS);
        let mut seen = std::collections::HashMap::new();
        for (entry, words) in entries {
            for word in words.split_whitespace() {
                let other = seen.insert(word, *entry);
                assert!(other.is_none_or(|other| other == *entry), "{word}: {other:?} and {entry}");
                assert_eq!(name(word), Some(*entry), "{word}");
            }
        }
        assert!(seen.len() * 4 <= PLACES, "{} words crowd the table", seen.len());
    }

    #[test]
    fn a_compound_falls_into_listed_words_or_not_at_all() {
        let parts = |word: &str| {
            let parts = parts(word.as_bytes())?;
            let names =
                parts.iter().map(|(part, word)| String::from_utf8_lossy(part.name(word)).into_owned());
            Some(names.collect::<Vec<_>>())
        };
        assert_eq!(parts("addtocart").unwrap(), ["add", "to", "cart"]);
        assert_eq!(parts("loginpost").unwrap(), ["login", "page"]);
        assert_eq!(parts("cartphp").unwrap(), ["cart", "php"]);
        assert_eq!(parts("shoppingbasket"), None);
        assert_eq!(parts("cartridges"), None);
        assert_eq!(parts("addtocartformform"), None, "five parts");
    }
}
