-- Counts what came to no books: a request that was refused.

add_up(key())
put(0)
return reply
