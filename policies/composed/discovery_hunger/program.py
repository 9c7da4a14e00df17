# provenance:
#   model: Claude (Anthropic), through a recorded conversation
#   date: '2026-11-30'
#   prompt: prompt.md
#   prompt_sha256: bb7f140b5852b15e2b6982941ca0e7dff78dcb17074c42c1d62adea4a6881b3a
#   score: 0.0
#   search: 'search refine, seed 0: 2 candidates, 16 games, 39,263 game steps, 2 answers of a model, 1,235 s; the budget of 2 candidates is used up; there success 12% [2%, 47%] in 8 games, progress 0.40'

class Program:
    # Fight in the first level of the Mines until a meal was needed and eaten there, then climb out and go down to the Oracle.

    def __init__(self) -> None:
        self.patience: int = 0
        self.until_down: bool = False
        self.visits: dict[int, int] = {}
        self.prayers: int = 0
        self.prayed: int = -1000
        self.next_meal: int = 0
        self.resting: bool = False
        self.rest_until: int = 0
        self.next_rest: int = 0
        self.rest_hp: int = 0
        self.fight_until: int = 0
        self.tries: int = 0
        self.place: int = 0
        self.entered: int = 0
        self.eaten: bool = False
        self.returns: int = 0

    def watch(self, state: GameState) -> None:
        if state.prayers > self.prayers:
            self.prayers, self.prayed = state.prayers, state.turn
        if state.depth != self.place:
            self.place, self.entered = state.depth, state.step

    def stuck(self, state: GameState) -> bool:
        # No way on from here was found in this time: another arrival from above may lead elsewhere.
        return state.depth >= 2 and state.step - self.entered >= 1000

    def can_pray(self, state: GameState) -> bool:
        return state.turn >= 300 and state.turn - self.prayed >= 1000

    def dying(self, state: GameState) -> bool:
        return state.hp < 6 or state.hp * 7 < state.max_hp

    def in_need(self, state: GameState) -> bool:
        # Wounds and weakness while a prayer helps; hunger now and then, for a meal. Else fighting is better.
        # Until the meal is eaten a prayer would spoil the hunger, so it waits until the hero faints.
        if self.can_pray(state) and (self.dying(state) or state.hunger >= (3 if self.eaten else 4)):
            return state.hp * 3 <= state.max_hp or state.hunger >= 2
        return self.eaten and state.hunger >= 2 and state.turn >= self.next_meal

    def should_rest(self, state: GameState) -> bool:
        hurt = state.hp * 2 < state.max_hp and state.hunger <= 1
        return hurt and state.turn >= self.next_rest and not self.resting

    def care(self, state: GameState, available: list[Skill]) -> str:
        # "" or the skill that keeps the hero alive: a prayer, a meal, or a rest on the stairs.
        if "survivor" in available and self.in_need(state):
            self.next_meal = state.turn + (120 if self.eaten else 40)
            return "survivor"
        if self.should_rest(state) and state.dungeon == 0:
            self.resting, self.rest_until, self.rest_hp = True, state.turn + 300, state.hp
        if not self.resting:
            return ""
        if state.hp * 5 >= state.max_hp * 4 or state.turn >= self.rest_until or state.hunger >= 2:
            self.resting, self.next_rest = False, state.turn + 150
            return ""
        # To and fro on the stairs nobody is met for long; whoever follows is fought.
        if state.hp < self.rest_hp:
            self.fight_until = state.step + 15
        self.rest_hp = state.hp
        if state.step < self.fight_until:
            return "discoverer"
        if state.depth >= 2 and (state.on_upstairs or (state.upstairs_seen and not state.on_downstairs)):
            return "ascender"
        if state.downstairs_seen:
            return "descender"
        return "ascender" if state.depth >= 2 else "discoverer"

    def select(self, state: GameState, available: list[Skill]) -> Skill:
        self.watch(state)
        stayed = state.depth == state.skill_start_depth
        if state.skill == "discoverer" and stayed and state.dungeon == 0 and state.skill_turns >= 30:
            self.visits[state.depth] = self.visits.get(state.depth, 0) + 1
        self.until_down = False
        cared = self.care(state, available)
        if cared != "":
            self.patience = 0
            return self.prefer(cared, available)
        if self.stuck(state) and state.skill != "ascender":
            self.visits[state.depth - 1] = 1
            return self.prefer("ascender", available)
        if self.stuck(state):
            self.entered = state.step - 700
        return self.plan(state, available)

    def should_end(self, state: GameState) -> bool:
        self.watch(state)
        self.see(state)
        if state.skill == "survivor":
            calm = state.hunger <= 1 and not self.dying(state)
            return calm or (state.skill_steps >= 25 and not self.in_need(state))
        if self.in_need(state) or (self.should_rest(state) and state.dungeon == 0):
            return True
        if self.resting:
            fighting = state.step < self.fight_until
            return not fighting and state.skill == "discoverer" and state.skill_steps >= 15
        if state.skill != "discoverer" or state.depth != state.skill_start_depth:
            return False
        if self.until_down and state.downstairs_seen:
            return state.skill_turns >= self.patience
        return state.skill_turns >= self.patience or (not self.eaten and state.branch_depth == state.depth and state.skill_turns >= 60)

    def prefer(self, wanted: str, available: list[Skill]) -> Skill:
        for skill in available:
            if skill == wanted:
                return skill
        return available[0]

    def explore(self, available: list[Skill], turns: int) -> Skill:
        self.patience = turns
        return self.prefer("discoverer", available)

    def down(self, state: GameState, available: list[Skill]) -> Skill:
        # The descender finds stairs itself; after a failure the discoverer looks elsewhere for a while.
        failed = state.skill == "descender" and state.depth == state.skill_start_depth
        if failed and state.skill_steps >= 20:
            self.tries += 1
            return self.explore(available, 60 + 40 * (self.tries % 4))
        return self.prefer("descender", available)

    def to_mines(self, state: GameState, available: list[Skill]) -> Skill:
        # Explore the levels 2 to 4 in turn; where two ways down are known, take one after the other.
        branch = state.branch_depth
        if state.depth > (branch if branch > 0 else 4):
            return self.prefer("ascender", available)
        if state.depth == branch:
            came_back = state.skill == "ascender"
            return self.explore(available, 60) if came_back else self.down(state, available)
        if branch > 0 or state.depth == 1:
            return self.down(state, available)
        if self.visits.get(state.depth, 0) < 3:
            return self.explore(available, 300)
        return self.down(state, available)

    def to_oracle(self, state: GameState, available: list[Skill]) -> Skill:
        # Straight down the main dungeon. A way down that led into the Mines is left again, for another one.
        if state.dungeon == 2 or state.depth > 9:
            return self.prefer("ascender", available)
        if state.at_oracle:
            return self.explore(available, 300)
        if state.skill == "ascender" and state.depth == state.branch_depth:
            self.returns += 1
            return self.explore(available, min(150 * self.returns, 600))
        return self.down(state, available)

    def see(self, state: GameState) -> None:
        if state.dungeon == 2 and state.meals_while_hungry > 0 and state.has_eaten_in_mines:
            self.eaten = True

    def plan(self, state: GameState, available: list[Skill]) -> Skill:
        self.see(state)
        if self.eaten:
            return self.to_oracle(state, available)
        if state.dungeon != 2:
            return self.to_mines(state, available)
        if state.hunger >= 2:
            # The skills of the stairs eat what they kill, the survivor hardly ever.
            return self.prefer("descender" if state.level <= 2 else "ascender", available)
        if state.level > 2:
            return self.prefer("ascender", available)
        return self.explore(available, 300)
