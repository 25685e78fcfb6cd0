-- Spends one retry of the budget, if there is one and the breaker lets it through.

local budget, control = key(), key()
local breaker = read_breaker()
put(not is_open(control, breaker) and withdraw(budget) and 1 or 0)
return reply
