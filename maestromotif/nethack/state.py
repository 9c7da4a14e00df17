"""Tables of what a program over skills may know of a game, and of the changes a step can make."""

# GameState, field by field, in the order in which programs see it.
FIELDS: dict[str, type] = {
    "step": int,  # environment steps since the episode began
    "turn": int,  # game turns (blstats)
    "depth": int,  # 1 = first level (blstats)
    "deepest": int,  # greatest depth of the episode
    "dungeon": int,  # 0 Dungeons of Doom, 2 Gnomish Mines, ... (blstats)
    "branch_depth": int,  # depth of the level with the stairs into the Mines: two ways down were ever seen on
    # it, or the Mines were entered from it or left to it; -1 until then
    "hp": int,
    "max_hp": int,
    "xp_level": int,
    "gold": int,
    "hunger": int,  # 0 satiated, 1 not hungry, 2 hungry, 3 weak, 4 fainting (blstats)
    "energy": int,  # for spells (blstats)
    "max_energy": int,
    "armor_class": int,  # lower is better (blstats)
    "kills": int,  # events `killed` this episode
    "items_sold": int,  # events `sold` this episode
    "has_eaten_in_mines": bool,  # an event `ate` in the Gnomish Mines
    "items_bought": int,  # events `bought` this episode
    "prices_identified": int,  # events `price_identified` this episode
    "altar_tests": int,  # things laid on an altar whose blessing it told, this episode
    "prayers": int,  # events `prayed` this episode
    "skill": str,  # the running skill, or the one that has just ended
    "skill_steps": int,  # environment steps since it began
    "skill_turns": int,  # game turns since it began
    "skill_start_depth": int,
    "explored": int,  # squares displayed on this level, the most of this visit
    "idle_steps": int,  # environment steps since a new square was seen on this level
    "downstairs_seen": bool,  # a staircase or ladder down was displayed on this visit of the level
    "upstairs_seen": bool,
    "on_downstairs": bool,  # the hero stands where such stairs were ever shown, or came by them from below
    "on_upstairs": bool,  # likewise; every episode begins on stairs up
    "altar_in_view": bool,  # the map shows an altar
    "shopkeeper_in_view": bool,  # the map shows a shopkeeper (by glyph, so no other `@`)
    "sellable_items": int,  # stacks that are not from the starting inventory, neither food nor coins
    "priest_in_view": bool,  # the map shows a priest of a temple (by glyph)
    "player_in_view": bool,  # the map shows another `@` that looks like a hero of some role (by glyph)
    "shopkeeper_near": bool,  # one is shown within 3 squares of the hero
    "altar_near": bool,  # the altar first shown on this visit is within 3 squares, even if covered now
    "on_altar": bool,  # the hero stands where that altar was shown
    "in_shop": bool,  # from a shopkeeper's greeting at the door until the door or the level is left
    "unpaid": bool,  # something of the shop was taken or eaten, as messages tell, and not paid for
    "offer": int,  # gold pieces that the open question whether to sell offers, 0 without one
}
SKILL_FIELDS = ("skill", "skill_steps", "skill_turns", "skill_start_depth")

# Codes of what happened on a step, column by column; names and number of codes.
CHANGES: dict[str, int] = {"depth": 3, "explored": 2, "downstairs": 4, "upstairs": 4}
DEPTH_SAME, DEPTH_DEEPER, DEPTH_HIGHER = 0, 1, 2
STAIRS_NOTHING, STAIRS_SEEN, STAIRS_CLOSER, STAIRS_REACHED = 0, 1, 2, 3
