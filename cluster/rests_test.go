package cluster_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
)

// TestMain has the coders made outside of tests whose time is virtual: what is made in such a test
// serves no other.
func TestMain(m *testing.M) {
	text := []byte("some text, some text, some text")
	codec.AppendZstdText(nil, text)
	if got, err := codec.DecodeZstd(nil, codec.AppendZstd(nil, text), len(text)); err != nil || string(got) != string(text) {
		panic(err)
	}
	os.Exit(m.Run())
}

// walkers walk one request after another, each for so long, until the time is over, and give how long
// they did together, and the longest of it that nobody rested in between.
func walkers(questions *cluster.Questions, n int, walked, all time.Duration) (worked, atOnce time.Duration) {
	shared := cluster.NewShared()
	ctx, cancel := context.WithTimeout(context.Background(), all)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	var run time.Duration
	last := time.Now()
	for range n {
		group.Go(func() {
			for {
				leave, err := cluster.TakeTurn(ctx, shared, questions)
				if err != nil {
					return
				}
				begin := time.Now()
				time.Sleep(walked)
				mu.Lock()
				if begin.After(last) {
					run = 0
				}
				last = time.Now()
				run += walked
				worked, atOnce = worked+walked, max(atOnce, run)
				mu.Unlock()
				leave()
			}
		})
	}
	group.Wait()
	return worked, atOnce
}

// Beside questions walks have a quarter of a processor, however short they are, though a timer wakes
// who rests a thousand walks too late: beside one question that never ends and beside one after another.
func TestWalksHaveTheirQuarter(t *testing.T) {
	const all = 400 * time.Millisecond
	for name, ask := range map[string]func(context.Context, *cluster.Questions){
		"an endless question": func(ctx context.Context, q *cluster.Questions) { q.Begin(); <-ctx.Done(); q.End() },
		"one after another": func(ctx context.Context, q *cluster.Questions) {
			for ctx.Err() == nil {
				q.Begin()
				time.Sleep(199 * time.Microsecond)
				q.End()
				time.Sleep(time.Microsecond) // too short for a walk without a question
			}
		},
	} {
		for _, walked := range []time.Duration{5 * time.Microsecond, 20 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 4 * time.Millisecond} {
			for _, late := range []time.Duration{0, time.Millisecond, 4 * time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					cluster.SetProcessors(t, 2)
					cluster.SetRestsLate(t, late)
					questions := cluster.NewQuestions()
					ctx, cancel := context.WithCancel(t.Context())
					var asking sync.WaitGroup
					asking.Go(func() { ask(ctx, questions) })
					synctest.Wait()
					worked, _ := walkers(questions, 8, walked, all)
					cancel()
					asking.Wait()
					if worked < all*24/100 || worked > all*26/100+walked {
						t.Errorf("%s, walks of %v, timers %v late: %v of %v", name, walked, late, worked, all)
					}
				})
			}
		}
	}
}

// What timers are late is made good, but not more than 10 ms of it, so a quarter of that and one
// walk go on at once however late they are.
func TestALateRestBringsNoMoreThanAFewWalksAtOnce(t *testing.T) {
	const walked = 100 * time.Microsecond
	for late, want := range map[time.Duration]time.Duration{
		0: walked, 3 * time.Millisecond: time.Millisecond + walked, 10 * time.Second: 10*time.Millisecond/3 + walked,
	} {
		synctest.Test(t, func(t *testing.T) {
			cluster.SetProcessors(t, 2)
			cluster.SetRestsLate(t, late)
			questions := cluster.NewQuestions()
			questions.Begin() // for ever
			if _, atOnce := walkers(questions, 8, walked, time.Minute/2); atOnce > want+walked || atOnce < want-walked {
				t.Errorf("timers %v late: walks of %v at once, want %v", late, atOnce, want)
			}
		})
	}
}

// A rest after questions is no longer than one beside them: where more than one turn is left no walk
// rests, whether it ends beside them, after one of them or after all.
func TestARestAfterQuestionsIsNoLongerThanBesideThem(t *testing.T) {
	for _, c := range processorsLeft {
		synctest.Test(t, func(t *testing.T) {
			cluster.SetProcessors(t, c.processors)
			questions, shared := cluster.NewQuestions(), cluster.NewShared()
			const walked = 4 * time.Millisecond
			walk := func(meanwhile func()) (rested time.Duration) {
				begin := time.Now()
				leave, err := cluster.TakeTurn(t.Context(), shared, questions)
				if err != nil {
					t.Fatal(err)
				}
				rested = time.Since(begin)
				time.Sleep(walked)
				meanwhile()
				leave()
				return rested
			}
			nothing := func() {}
			for range c.questions {
				questions.Begin()
			}
			walk(nothing)
			beside := walk(nothing)
			want := time.Duration(0)
			if c.left == 1 && c.questions > 0 {
				want = 3 * walked
			}
			if beside != want {
				t.Errorf("%d processors, %d questions: a walk rested %v, want %v", c.processors, c.questions, beside, want)
			}
			for left := c.questions; left > 0; left-- {
				walk(questions.End) // it ends beside one fewer
				if after := walk(nothing); after > beside {
					t.Errorf("%d processors, %d of %d questions have ended: a walk rested %v, beside all %v",
						c.processors, c.questions-left+1, c.questions, after, beside)
				}
			}
			if after := walk(nothing); after != 0 {
				t.Errorf("%d processors, %d questions have ended: a walk rested %v", c.processors, c.questions, after)
			}
		})
	}
}

// What was walked while more than one turn was left is not rested for when more questions come, though one
// ended meanwhile.
func TestWorkBesideFewQuestionsIsNotRestedForBesideMany(t *testing.T) {
	for name, ends := range map[string]bool{"it goes on": false, "it ends": true} {
		synctest.Test(t, func(t *testing.T) {
			cluster.SetProcessors(t, 16)
			questions, shared := cluster.NewQuestions(), cluster.NewShared()
			take := func() (leave func()) {
				leave, err := cluster.TakeTurn(t.Context(), shared, questions)
				if err != nil {
					t.Fatal(err)
				}
				return leave
			}
			questions.Begin()
			leave := take()
			time.Sleep(4 * time.Millisecond)
			if ends {
				questions.End()
				time.Sleep(4 * time.Millisecond)
			}
			leave()
			for range 8 {
				questions.Begin()
			}
			begin := time.Now()
			take()()
			if rested := time.Since(begin); rested != 0 {
				t.Errorf("%s: a walk rested %v", name, rested)
			}
		})
	}
}

// Who waits for a turn, or rests, begins when so many questions have ended that there are more turns,
// though others go on.
func TestFewerQuestionsLeaveMoreTurnsAtOnce(t *testing.T) {
	for name, rests := range map[string]bool{"waits for a turn": false, "rests": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster.SetProcessors(t, 16)
				questions, shared := cluster.NewQuestions(), cluster.NewShared()
				for range 8 {
					questions.Begin()
				}
				take := func() (leave func()) {
					leave, err := cluster.TakeTurn(t.Context(), shared, questions)
					if err != nil {
						t.Error(err)
					}
					return leave
				}
				first := take()
				if rests {
					time.Sleep(4 * time.Millisecond)
					first()
				}
				begin := time.Now()
				began := make(chan struct{})
				go func() {
					leave := take()
					close(began)
					leave()
				}()
				synctest.Wait()
				select {
				case <-began:
					t.Error("it did not wait")
				default:
				}
				for range 7 {
					questions.End()
				}
				<-began // for ever where nobody is told
				if waited := time.Since(begin); waited != 0 {
					t.Errorf("it began after %v", waited)
				}
				if !rests {
					first()
				}
			})
		})
	}
}
