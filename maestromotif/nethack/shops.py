"""Names of NetHack's shops: of their keepers, and of the money that they ask for.

Facts of NetHack 3.6.7: `shknam.c` names shopkeepers from fixed lists, also in front of a hallucinating hero,
and `invent.c` names the money that such a hero hears of instead of zorkmids.
"""

import re

# Separated by commas; a name may have several words.
_SHOPKEEPERS = """
    Abisko, Abitibi, Adjama, Akalapi, Akhalataki, Aklavik, Akranes, Aksaray, Akureyri, Alaca,
    AlliWar Wickson, Aned, Angmagssalik, Annootok, Ardjawinangun, Artvin, Asidonhopo, Avasaksa,
    Ayancik, Azura, Babadag, Baliga, Ballingeary, Balya, Bandjar, Banjoewangi, Bayburt, Beddgelert,
    Beinn a Ghlo, Berbek, Berhala, Bicaz, Birecik, Blaze, Bnowr Falr, Bojolali, Bordeyri, Boyabai,
    Braemar, Breanna, Breezy, Brienz, Brig, Brzeg, Budereyri, Burglen, Caergybi, Cahersiveen,
    Cannich, Carignan, Cazelon, Changdu, Chibougamau, Chicoutimi, Cire Htims, Clonegal, Corignac,
    Corsh, Cubask, Culdaff, Curig, Dark Eery, Demirci, Dharma, Dirk, Djasinga, Djombang,
    Dobrinishte, Donmyar, Dorohoi, Drepung, Droichead Atha, Drumnadrochit, Dunfanaghy, Dunvegan,
    Eauze, Echourgnac, Eed-morra, Eforie, Elan Lapinski, Elm, Enniscorthy, Ennistymon, Enontekis,
    Enrobwem, Ermenak, Eygurande, Eymoutiers, Eypau, Fauske, Feather, Fenouilledes, Fetesti, Feyfer,
    Fleac, Flims, Flugi, Ga'er, Gairloch, Ganden, Gaziantep, Gellivare, Gheel, Glenbeigh, Gliwice,
    Gomel, Gorlowka, Guizengeard, Gweebarra, Gyantse, Haparanda, Haskovo, Havic, Haynin, Hebiwerie,
    Hoboken, Holmavik, Hradec Kralove, Htargcm, Hyeghu, Imbyze, Inishbofin, Inniscrone, Inuvik,
    Inverurie, Iskenderun, Izchak, Jasmine, Jiangji, Jiu, Jonzac, Jumilhac, Juyn, Kabalebo,
    Kachzi Rellim, Kadirli, Kajaani, Kalecik, Kanturk, Karangkobar, Kars, Kautekeino, Kediri,
    Kerloch, Kesh, Kilgarvan, Kilmihil, Kiltamagh, Kinnegad, Kinojevis, Kinsky, Kipawa, Kirikkale,
    Kirklareli, Kittamagh, Klodzko, Konosja, Kopasker, Krnov, Kyleakin, Kyzyl, Labouheyre,
    Laguiolet, Lahinch, Lapu, Lechaim, Lerignac, Leuk, Lhasa, Linzhi, Liorac, Lisnaskea,
    Llandrindod, Llanerchymedd, Llanfair-ym-muallt, Llanrwst, Lochnagar, Lom, Lonzac, Lovech,
    Lucrezia, Ludus, Lugnaquillia, Lulea, Luna, Maesteg, Maganasipi, Makharadze, Makin, Malasgirt,
    Malazgirt, Mallwyd, Mamaia, Manlobbi, Massis, Matagami, Matray, Melac, Melody, Midyat,
    Monbazillac, Moonjava, Morven, Moy, Nairn, Nallihan, Narodnaja, Nehoiasu, Nenagh, Nenilukah,
    Neuvicq, Ngebel, Nieb, Niknar, Nisipitu, Niskal, Njalindoeng, Njezjin, Nosalnef, Noskcirdneh,
    Nosnehpets, Oeloe, Oguhmk, Olycan, Oryahovo, Ossipewsk, Ouiatchouane, Pakka Pakka, Pameunpeuk,
    Panagyuritshte, Papar, Parbalingga, Pasawahan, Patjitan, Pemboeang, Pengalengan, Pernik,
    Pervari, Petal, Picq, Polatli, Pons, Pontarfynach, Possogroenoe, Queyssac, Raciborz, Rastegaisa,
    Rath Luirc, Razboieni, Rebrol-nek, Regien, Rellenk, Renrut, Rewuorb, Rhaeader, Rhiannon,
    Rhydaman, Rikaze, Rouffiac, Rovaniemi, Sablja, Sadelin, Samoe, Sarangan, Sarnen, Saujon, Schuls,
    Semai, Senna Hut, Sgurr na Ciche, Shigatse, Siboga, Sighisoara, Siirt, Silistra, Sipaliwini,
    Siverek, Skibbereen, Slanic, Sliven, Smolyan, Sneem, Sperc, Starla, Stewe, Storr, Svaving,
    Swidnica, Syktywkar, Tapper, Tefenni, Tegal, Telloc Cyaj, Terwen, Thun, Tipor, Tirebolu,
    Tirgu Neamt, Tjibarusa, Tjisolok, Tjiwidej, Touverac, Trahnil, Trallwng, Tranquilla, Trenggalek,
    Tringanoe, Troyan, Tsedong, Tsjernigof, Tsurphu, Tuktoyaktuk, Tulovo, Turriff, Uist, Upernavik,
    Urignac, Vals, Vanzac, Varjag Njarga, Varvara, Vaslui, Vergt, Voulgezac, Walbrzych,
    Weliki Oestjoeg, Windsong, Wirix, Wonotobo, Y-Fenni, Y-crad, Yad, Yawolloh, Yelpur, Yildizeli,
    Ymla, Ypey, Yr Wyddgrug, Zarnesti, Zennia, Zhangmu, Zimnicea, Zlatna, Zlaw, Zoe, Zonguldak,
    Zora, Zum Loch,
"""
_MONEY = (
    "zorkmid, Altarian Dollar, Ankh-Morpork Dollar, auric, buckazoid, cirbozoid, credit chit, cubit, "
    "Flanian Pobble Bead, fretzer, imperial credit, Hong Kong Luna Dollar, kongbuck, nanite, quatloo, "
    "simoleon, solari, spacebuck, sporebuck, Triganic Pu, woolong"
)
SHOPKEEPERS = tuple(" ".join(_SHOPKEEPERS.split()).rstrip(",").split(", "))
CURRENCIES = tuple(_MONEY.split(", "))

# For patterns: a shopkeeper's name, not inside a longer one, and an amount's currency in any number.
NAME = rf"(?<![\w'-])(?:{'|'.join(sorted(map(re.escape, SHOPKEEPERS), key=len, reverse=True))})(?![\w'-])"
CURRENCY = rf"(?:{'|'.join(map(re.escape, CURRENCIES))})(?:e?s)?"
