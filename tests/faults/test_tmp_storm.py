import threading, time
import pytest
from collections import Counter
@pytest.mark.parametrize("window",["200"])
def test_storm(window, system, outside, orders, checked):
    low, high = outside.agent(seconds=0.2), outside.agent(seconds=0.2)
    system.start_all("web", "scheduler", "worker")
    stop=threading.Event()
    def storm():
        while not stop.is_set():
            orders.run(low, by_api=True, priority=0)
    ts=[threading.Thread(target=storm) for _ in range(3)]
    for t in ts: t.start()
    outside.wait_for("began", 30)
    n=len(outside.lines("began")); t0=time.monotonic()
    q=[orders.run(high, priority=9) for _ in range(40)]
    lines=[]
    while sum(l.agent==high for l in lines)<40 and time.monotonic()-t0<60:
        time.sleep(.1); lines=outside.lines("began")
    stop.set()
    for t in ts: t.join()
    after=[l.agent for l in lines[n:]]
    last=max(i for i,a in enumerate(after) if a==high)
    print("RESULT", Counter(after[:last+1]), "asked", len(orders.runs), "took", round(time.monotonic()-t0,1))
    for r in reversed(orders.runs):
        try: orders.cancel(r)
        except Exception: pass
    checked()
