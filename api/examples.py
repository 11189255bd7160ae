"""The documented calls, as the OpenAPI document shows them."""

from typing import Any

_SCHEDULE_ID = "019bf3a4-5d00-7c3e-8a52-6f1f0c9a7b21"
_RUN_ID = "019bf5c9-d300-7b8e-9d4c-2f64a1c7e905"

NEW_SCHEDULE: dict[str, Any] = {
    "name": "Daily Sales Summary",
    "agentId": "finance_agent",
    "message": "Generate a summary of today's sales data",
    "cronExpression": "0 8 * * *",
    "enabled": True,
}
REPLACED_SCHEDULE = {**NEW_SCHEDULE, "cronExpression": "0 9 * * *"}
SCHEDULE: dict[str, Any] = {
    "id": _SCHEDULE_ID,
    **NEW_SCHEDULE,
    "runAt": None,
    "timezone": "UTC",
    "startAt": None,
    "endAt": None,
    "overlapPolicy": "SKIP",
    "catchUpPolicy": "LATEST",
    "catchUpWindowSeconds": 3600,
    "jitterSeconds": 0,
    "timeoutSeconds": None,
    "maxAttempts": 3,
    "retryBackoffSeconds": 30,
    "priority": 5,
    "keepLast": None,
    "sessionPolicy": "FRESH",
    "approvalPolicy": "WAIT",
    "approvalWaitSeconds": None,
    "pausedOverlaps": False,
    "tags": [],
    "createdAt": "2027-01-30T10:15:00.125Z",
    "updatedAt": "2027-01-30T10:15:00.125Z",
    "nextRunAt": "2027-02-01T08:00:00Z",
    "lastRun": {
        "runId": _RUN_ID,
        "status": "COMPLETED",
        "scheduledFor": "2027-01-31T08:00:00Z",
        "startedAt": "2027-01-31T08:00:00.084Z",
        "finishedAt": "2027-01-31T08:00:04.511Z",
    },
    "description": "At 08:00",
    "error": None,
    "warning": None,
    "version": 1,
}
TRIGGERED = {"message": "Schedule execution triggered.", "runId": _RUN_ID}
QUEUED = {"runId": _RUN_ID, "status": "QUEUED"}
RUN: dict[str, Any] = {
    "runId": _RUN_ID,
    "sessionId": _RUN_ID,
    "agentId": "finance_agent",
    "scheduleId": _SCHEDULE_ID,
    "batchId": None,
    "retryOf": None,
    "trigger": "SCHEDULE",
    "status": "COMPLETED",
    "message": NEW_SCHEDULE["message"],
    "content": "Sales were 4 % above yesterday's.",
    "asks": None,
    "answerBy": None,
    "error": None,
    "scheduledFor": "2027-01-31T08:00:00Z",
    "missedUntil": None,
    "missedCount": None,
    "queuedAt": "2027-01-31T08:00:00.012Z",
    "availableAt": "2027-01-31T08:00:00Z",
    "startedAt": "2027-01-31T08:00:00.084Z",
    "finishedAt": "2027-01-31T08:00:04.511Z",
    "cancelRequestedAt": None,
    "durationMs": 4427,
    "attempt": 1,
    "maxAttempts": 3,
    "priority": 5,
    "timeoutSeconds": 600,
    "workerId": None,
    "model": None,
    "metrics": {
        "inputTokens": 812,
        "outputTokens": 64,
        "totalTokens": 876,
        "cacheReadTokens": 512,
        "cacheWriteTokens": 0,
        "reasoningTokens": 0,
        "requests": 2,
        "toolCalls": 1,
        "costUsd": 0.0021,
        "computeUsd": None,
    },
    "metadata": {},
}
NEW_RUN = {"message": NEW_SCHEDULE["message"]}
NEW_AGENT: dict[str, Any] = {
    "id": "finance_agent",
    "name": "Finance agent",
    "description": "Answers with the message it is given.",
    "kind": "echo",
    "config": {"delaySeconds": 2},
}
AGENT: dict[str, Any] = {
    **NEW_AGENT,
    "enabled": True,
    "timeoutSeconds": 600,
    "maxConcurrency": None,
    "check": {
        "status": "OK",
        "checkedAt": "2027-01-30T10:15:00.631Z",
        "findings": [
            {
                "name": "kind",
                "status": "OK",
                "message": "This worker runs echo, and takes the configuration.",
            }
        ],
    },
    "createdAt": "2027-01-30T10:15:00.125Z",
    "updatedAt": "2027-01-30T10:15:00.125Z",
    "version": 1,
}
NEW_BUDGET: dict[str, Any] = {
    "scope": "AGENT",
    "agentId": "finance_agent",
    "period": "DAY",
    "timezone": "Europe/Berlin",
    "limitUsd": 5,
    "runUsd": 0.25,
    "whenSpent": "SKIP",
}
BUDGET: dict[str, Any] = {
    "id": "019bf3a4-5d00-7c3e-8a52-6f1f0c9a7b22",
    **NEW_BUDGET,
    "scheduleId": None,
    "limitUsd": 5.0,
    "spentUsd": 1.31,
    "reservedUsd": 0.5,
    "remainingUsd": 3.19,
    "unpricedRuns": 0,
    "periodStartsAt": "2027-01-30T23:00:00Z",
    "periodEndsAt": "2027-01-31T23:00:00Z",
    "createdAt": "2027-01-30T10:15:00.125Z",
    "updatedAt": "2027-01-30T10:15:00.125Z",
    "version": 1,
}
PREVIEW = {"cronExpression": "30 2 * * *", "timezone": "Europe/Berlin", "count": 1}
FIRE_TIMES = {
    "description": "At 02:30 (Europe/Berlin)",
    "fireTimes": [
        {"at": "2027-01-31T01:30:00Z", "local": "2027-01-31T02:30:00+01:00", "note": None}
    ],
}
FORECAST_ORDERS = {"agentId": "finance_agent", "cronExpression": "0 8 * * *"}
FORECAST: dict[str, Any] = {
    "from": "2027-01-30T10:15:00.125Z",
    "firstRunAt": "2027-01-31T08:00:00Z",
    "runsPerDay": 1.0,
    "runsNextDay": 1,
    "runsNext30Days": 30,
    "costUsd": {
        "run": {"low": 0.0013, "mean": 0.0021, "high": 0.0029, "worst": 0.0087},
        "nextDay": {"low": 0.0013, "mean": 0.0021, "high": 0.0029, "worst": 0.0087},
        "next30Days": {"low": 0.055, "mean": 0.063, "high": 0.071, "worst": 0.213},
        "basedOn": 200,
        "note": None,
    },
}
_SUMS: dict[str, Any] = {
    "inputTokens": 24360,
    "outputTokens": 1920,
    "totalTokens": 26280,
    "costUsd": 0.063,
}
_SUMS |= {"unpricedRuns": 0, "computeUsd": None}
COSTS: dict[str, Any] = {
    "from": "2026-12-31T00:00:00Z",
    "to": "2027-01-30T10:15:00.125Z",
    "groupBy": "schedule",
    "timezone": "UTC",
    "total": {"runs": 30, **_SUMS},
    "content": [
        {"scheduleId": _SCHEDULE_ID, "name": NEW_SCHEDULE["name"], "runs": 30, **_SUMS},
    ],
    "number": 0,
    "size": 200,
    "totalElements": 1,
    "totalPages": 1,
}
NEW_PROFILE: dict[str, Any] = {
    "id": "spot-large",
    "description": "Spot machines for bulk work.",
    "instanceType": "m7i.large",
    "region": "eu-central-1",
    "vcpu": 2,
    "memoryMb": 8192,
    "spot": True,
    "pricePerHour": 0.042,
    "maxWorkers": 20,
}
PROFILE: dict[str, Any] = {
    "id": "spot-large",
    "queue": "spot-large",
    **NEW_PROFILE,
    "vcpu": 2.0,
    "createdAt": "2027-01-30T10:15:00.125Z",
    "updatedAt": "2027-01-30T10:15:00.125Z",
    "version": 1,
}
NEW_BATCH: dict[str, Any] = {
    "name": "Letters of March",
    "agentId": "finance_agent",
    "items": [
        {"key": "customer-17", "message": "Write a letter to Ada Lovelace."},
        {"key": "customer-18", "message": "Write a letter to Alan Turing."},
    ],
    "compute": "spot-large",
    "budgetUsd": 5,
}
BATCH: dict[str, Any] = {
    "id": "019bf5c9-d300-7b8e-9d4c-2f64a1c7e906",
    "name": "Letters of March",
    "agentId": "finance_agent",
    "status": "RUNNING",
    "note": None,
    "progressPercentage": 37.5,
    "counts": {
        "total": 4000,
        "queued": 2484,
        "running": 16,
        "paused": 0,
        "completed": 1491,
        "failed": 9,
        "cancelled": 0,
    },
    "timeLeft": {"lowSeconds": 402.1, "highSeconds": 447.9},
    "stalledSince": None,
    "estimatedCost": {
        "lowUsd": 3.61,
        "highUsd": 3.83,
        "note": None,
        "beforeItRan": {"lowUsd": 3.2, "highUsd": 4.4, "note": None},
    },
    "actualCost": {"usd": 1.39, "agentUsd": 1.31, "computeUsd": 0.08},
    "interruptions": {"count": 8, "costUsd": 0.002},
    "computeConfiguration": {
        "id": "spot-large",
        "queue": "spot-large",
        "instanceType": "m7i.large",
        "region": "eu-central-1",
        "vcpu": 2.0,
        "memoryMb": 8192,
        "spot": True,
        "pricePerHour": 0.042,
        "maxWorkers": 20,
        "ranOn": [
            {
                "instanceType": "m7i.large",
                "region": "eu-central-1",
                "machine": "x86_64",
                "vcpu": 2.0,
                "memoryMb": 7804,
                "threads": 8,
                "workers": 3,
            }
        ],
    },
    "maxConcurrency": None,
    "budgetUsd": 5.0,
    "timeoutSeconds": 600,
    "maxAttempts": 3,
    "retryBackoffSeconds": 30,
    "priority": 5,
    "approvalPolicy": "WAIT",
    "approvalWaitSeconds": None,
    "notifyAgentId": None,
    "deadline": None,
    "retryOf": None,
    "createdAt": "2027-01-31T08:00:00.012Z",
    "startedAt": "2027-01-31T08:00:00.684Z",
    "cancelRequestedAt": None,
    "finishedAt": None,
}
