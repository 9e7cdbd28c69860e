package dissect

// queueName says where a flow waits for its end. Half-open connections have their own queue, so that a flood of them evicts only
// each other.
type queueName uint8

const (
	queueClosing queueName = iota
	queueHalfOpen
	queueTCP
	queueOther
	queueCount
)

// queue holds flows in the order of their last packet.
type queue struct {
	head, tail *conn
	length     int
}

func (q *queue) oldest() *conn { return q.head }

func (q *queue) push(c *conn) {
	c.before, c.after = q.tail, nil
	if q.tail != nil {
		q.tail.after = c
	} else {
		q.head = c
	}
	q.tail = c
	q.length++
}

func (q *queue) remove(c *conn) {
	if c.before != nil {
		c.before.after = c.after
	} else {
		q.head = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		q.tail = c.before
	}
	c.before, c.after = nil, nil
	q.length--
}

// evict makes room in a shard: first a closed connection, then the oldest half-open one, then whoever was quiet longest.
func (e *Engine) evict(shard uint8) {
	queues := &e.queues[shard]
	for i := range queues {
		if c := queues[i].oldest(); c != nil && (queueName(i) != queueTCP || queues[queueOther].oldest() == nil ||
			c.lastSeen <= queues[queueOther].oldest().lastSeen) {
			e.stats.Evicted++
			e.end(c)
			return
		}
	}
}

// touch moves a flow to the end of its queue, or into another one.
func (e *Engine) touch(c *conn, to queueName) {
	queues := &e.queues[c.shard]
	c.lastSeen, c.touched = e.now, e.at.Frame
	if c.queue == to && queues[to].tail == c {
		return
	}
	queues[c.queue].remove(c)
	c.queue = to
	queues[to].push(c)
	if to == queueClosing {
		e.endLingering(&queues[to])
	}
}

// endLingering ends the connections that closed first when many wait for stragglers, two for each new one: after a burst the queue gets short again.
func (e *Engine) endLingering(q *queue) {
	for range 2 {
		if c := q.oldest(); q.length > mostLingering/e.placement.shards() && e.at.Frame-c.touched >= stragglerFrames {
			e.end(c)
		}
	}
}
