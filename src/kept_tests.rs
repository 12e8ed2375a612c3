use super::*;
use crate::virtual_clock::{PLATFORM, run, sleep};

const OPTIONS: KeptOptions = KeptOptions { each: 10, all: 25, least: 1, time: Duration::from_secs(60) };

fn shelf(pieces: Memory) -> Rc<dyn Kept> {
    Rc::new(Shelf::new(pieces, PLATFORM, OPTIONS))
}

fn of(store: &Rc<dyn Kept>, name: &str) -> Keeper {
    Keeper::new(store.clone(), Principal::named(name), PLATFORM)
}

/// The whole item, if it is there.
async fn read(keeper: &Keeper, id: &str, path: &str) -> Option<String> {
    let mut all = Vec::new();
    loop {
        let Piece { size, bytes } = keeper.get(id, path, all.len() as u64).await?;
        if bytes.is_empty() {
            assert_eq!(size, all.len() as u64);
            return Some(String::from_utf8(all).unwrap());
        }
        all.extend(bytes);
    }
}

#[test]
fn what_is_kept_is_its_owners_under_its_id_and_path_for_its_time() {
    run(async {
        let pieces = Memory::default();
        let store = shelf(pieces.clone());
        let (ann, ben) = (of(&store, "ann"), of(&store, "ben"));
        let id = ann.keep("a/b.txt", "hello").await.unwrap();
        assert_eq!(read(&ann, &id, "a/b.txt").await.as_deref(), Some("hello"));
        assert_eq!(ann.get(&id, "a/b.txt", 3).await.unwrap(), Piece { size: 5, bytes: b"lo".to_vec() });
        assert_eq!(ann.get(&id, "a/b.txt", 9).await.unwrap(), Piece { size: 5, bytes: Vec::new() });
        assert_eq!(ben.get(&id, "a/b.txt", 0).await, None, "another's");
        assert_eq!(ann.get(&id, "a/c.txt", 0).await, None, "another path");
        assert_eq!(ann.get(&new_handle(), "a/b.txt", 0).await, None, "another id");
        sleep(Duration::from_secs(59)).await;
        assert_eq!(read(&ann, &id, "a/b.txt").await.as_deref(), Some("hello"));
        sleep(Duration::from_secs(2)).await;
        assert!(pieces.0.borrow().is_empty(), "though nobody came");
        assert_eq!(ann.get(&id, "a/b.txt", 0).await, None);
    });
}

#[test]
fn the_oldest_goes_first_of_each_and_of_all() {
    run(async {
        let pieces = Memory::default();
        let store = shelf(pieces.clone());
        let (ann, ben, cem) = (of(&store, "ann"), of(&store, "ben"), of(&store, "cem"));
        let first = ann.keep("1", "123456").await.unwrap();
        let of_ben = ben.keep("1", "1234567890").await.unwrap();
        let second = ann.keep("2", "12345").await.unwrap();
        assert_eq!(read(&ann, &first, "1").await, None, "11 bytes of 10 of hers");
        assert!(read(&ben, &of_ben, "1").await.is_some() && read(&ann, &second, "2").await.is_some());
        cem.keep("1", "1234567890").await.unwrap();
        assert!(read(&ben, &of_ben, "1").await.is_some(), "25 bytes of 25");
        cem.keep("2", "1").await.unwrap();
        assert!(read(&ben, &of_ben, "1").await.is_some(), "his own goes first");
        let third = ann.keep("3", "12345").await.unwrap();
        assert!(read(&ben, &of_ben, "1").await.is_some(), "21 bytes of 25");
        assert!(of(&store, "dan").keep("1", "12345").await.is_some());
        assert_eq!(read(&ben, &of_ben, "1").await, None, "the oldest of all");
        assert!(read(&ann, &second, "2").await.is_some() && read(&ann, &third, "3").await.is_some());
        assert_eq!(ann.keep("4", "12345678901").await, None, "more than there may be");
        assert!(read(&ann, &second, "2").await.is_some(), "and nothing went for it");
        assert_eq!(pieces.0.borrow().len(), 4);
    });
}

#[test]
fn there_are_not_too_many_however_small() {
    run(async {
        let pieces = Memory::default();
        let options = KeptOptions { least: 3, ..OPTIONS };
        let store: Rc<dyn Kept> = Rc::new(Shelf::new(pieces.clone(), PLATFORM, options));
        let ann = of(&store, "ann");
        let first = ann.keep("0", "x").await.unwrap();
        for path in ["1", "2", "3"] {
            ann.keep(path, "x").await.unwrap();
        }
        assert_eq!(read(&ann, &first, "0").await, None);
        assert_eq!(pieces.0.borrow().len(), 3, "9 bytes of 10");
    });
}

#[test]
fn what_comes_in_another_order_or_too_much_is_not_kept() {
    run(async {
        let pieces = Memory::default();
        let store = shelf(pieces.clone());
        let ann = of(&store, "ann");
        let item = ann.item("a", 6);
        assert!(!ann.put(&item, 3, b"def".to_vec()).await, "no beginning");
        assert!(ann.put(&item, 0, b"abc".to_vec()).await);
        assert_eq!(ann.get(&item.id, "a", 0).await, None, "not all of it is there");
        assert!(!ann.put(&item, 0, b"abc".to_vec()).await, "twice");
        assert!(!ann.put(&item, 2, b"x".to_vec()).await);
        assert!(!ann.put(&item, 3, b"defg".to_vec()).await, "longer than it said");
        let forged = Rc::new(Item { owner: Principal::named("ben"), ..copy(&item) });
        assert!(!ann.put(&forged, 3, b"def".to_vec()).await, "another's");
        assert!(ann.put(&item, 3, b"def".to_vec()).await);
        assert_eq!(read(&ann, &item.id, "a").await.as_deref(), Some("abcdef"));
    });
}

fn copy(Item { id, owner, path, size }: &Item) -> Item {
    Item { id: id.clone(), owner: owner.clone(), path: path.clone(), size: *size }
}

/// Writes late, and may say that it failed.
#[derive(Clone)]
struct Slow(Memory, bool);

impl Pieces for Slow {
    fn write(&self, id: &str, at: u64, bytes: Vec<u8>) -> LocalBoxFuture<'static, bool> {
        let (memory, fails, id) = (self.0.clone(), self.1, id.to_owned());
        async move {
            sleep(Duration::from_secs(1)).await;
            memory.write(&id, at, bytes).await && !fails
        }
        .boxed_local()
    }

    fn read(&self, id: &str, at: u64) -> LocalBoxFuture<'static, Option<Vec<u8>>> {
        self.0.read(id, at)
    }

    fn remove(&self, id: &str) {
        self.0.remove(id);
    }
}

#[test]
fn nothing_stays_of_what_could_not_be_written_or_went_meanwhile() {
    run(async {
        for fails in [true, false] {
            let pieces = Slow(Memory::default(), fails);
            let store: Rc<dyn Kept> = Rc::new(Shelf::new(pieces.clone(), PLATFORM, OPTIONS));
            let ann = of(&store, "ann");
            let both = future::join(ann.keep("1", "123456"), ann.keep("2", "123456")).await;
            assert_eq!((both.0.is_some(), both.1.is_some()), (false, !fails));
            assert_eq!(pieces.0.0.borrow().len(), usize::from(!fails));
        }
    });
}
